"""A step that failed: what it left can be kept, looked at, changed and forgotten."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from builds import PROGRAM, Site, traces, write_tree
from nodes import Terminal

pytestmark = [pytest.mark.root, pytest.mark.network]

STEP = "extra: provision"
CONFIG = """\
image:
  packages: [sandwich]
  run:
    - echo one >/etc/one
    - "echo the last words; false"
"""


@pytest.fixture(scope="module")
def site(
    two_at_once: tuple[Site, list[subprocess.CompletedProcess[str]], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """The small tree with an overlay that cannot be built."""
    done, _, _ = two_at_once
    tree = tmp_path_factory.mktemp("failing")
    for name in ("all.yml", "group_vars/on_imagebuild", "vars/base.yml"):
        write_tree(tree, {name: (done.tree / name).read_text()})
    write_tree(tree, {"vars/extra.yml": CONFIG})
    return replace(done, tree=tree, builds=tree / "builds")


@pytest.fixture
def kept(site: Site) -> Iterator[Site]:
    """The same, after a build that kept what the step left; nothing of it may stay mounted."""
    done = site.run("--keep-failed")
    assert done.returncode == 1
    assert f"hint: look around: `imagebuilder shell --failed '{STEP}' --cache {site.cache}`" in done.stderr
    yield site
    assert traces(str(site.tree)) == []
    assert traces(str(site.cache / "failed")) == []


def _shell(site: Site, commands: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(PROGRAM), "shell", "--cache", str(site.cache), "--failed", *arguments]
    return subprocess.run(argv, input=commands, capture_output=True, text=True, check=False)


def test_failure_says_how_to_keep_what_it_leaves_and_leaves_nothing_without_that(site: Site) -> None:
    done = site.run()
    assert done.returncode == 1
    assert "hint: `build --keep-failed` keeps what the step leaves" in done.stderr
    said = _shell(site, "")
    assert said.returncode == 2
    assert said.stderr.startswith(f"error: no failed step is kept in {site.cache}/failed\nhint: `imagebuilder build")


def test_shell_has_what_the_step_saw_and_its_changes_stay(kept: Site) -> None:
    commands = "cat /etc/one /usr/share/sandwich | head -c 7; apt-get -qq install -y diet- sandwich; ls /proc/self/exe"
    first = _shell(kept, f"{commands}\necho two >/etc/two\nexit 3\n")
    assert first.returncode == 3, first.stderr
    assert first.stdout == "one\n2.0/proc/self/exe\n"
    assert "  | the last words\n" in first.stderr
    assert f"{STEP} of {kept.tree} failed: `chroot " in first.stderr
    assert _shell(kept, "cat /etc/two\n", STEP).stdout == "two\n"
    assert _shell(kept, "ls /usr/sbin/policy-rc.d\n").stdout == "/usr/sbin/policy-rc.d\n"
    (root,) = kept.cache.glob("failed/*/root")
    assert sorted(path.name for path in (root / "etc").iterdir() if path.is_file()) >= ["one", "two"]
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not list(root.parent.glob("root.work"))


def test_shell_is_a_persons_on_a_terminal(kept: Site) -> None:
    argv = ["setsid", "--ctty", "--wait", str(PROGRAM), "shell", "--cache", str(kept.cache), "--failed"]
    with closing(Terminal(argv)) as terminal:
        terminal.until(rb"\(extra: provision\) / # ")
        terminal.type(b"sh -c 'echo beg''an; sleep 99'\r")
        terminal.until(rb"began\r\n")
        time.sleep(0.5)  # nobody's hand is quicker, and bash gives the terminal to and fro
        terminal.type(b"\x03")
        time.sleep(0.5)
        terminal.type(b"echo here $((6 * 7))\r")
        terminal.until(rb"here 42\r\n(.|\n)*\(extra: provision\) / # ", timeout=30)
        assert b"job control" not in terminal.shown
        second = _shell(kept, "true\n")
        assert second.stderr.endswith(f"error: another shell is open in the failed step `{STEP}`\n")
        terminal.type(b"exit 4\r")
        assert terminal.wait() == 4


def test_failure_is_forgotten_when_asked_and_when_its_step_is_built_again(kept: Site) -> None:
    unknown = _shell(kept, "", "base: provision")
    assert (unknown.returncode, f"hint: kept are those of `{STEP}`" in unknown.stderr) == (2, True)
    assert _shell(kept, "", "--forget").returncode == 0
    assert not list(kept.cache.glob("failed/*/root"))
    assert kept.run("--keep-failed").returncode == 1
    assert list(kept.cache.glob("failed/*/root"))
    assert kept.run().returncode == 1
    assert not list(kept.cache.glob("failed/*/root"))


def test_layer_that_is_gone_is_told(kept: Site, tmp_path: Path) -> None:
    (record,) = kept.cache.glob("failed/*/failure.json")
    record.write_text(record.read_text().replace("/trees/", "/nothing/"))
    said = _shell(kept, "true\n")
    assert said.returncode == 1
    assert f"error: a layer below `{STEP}` is gone: {kept.cache}/nothing/" in said.stderr

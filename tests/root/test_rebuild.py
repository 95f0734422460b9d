"""What was done is not done again: after a kill, after a change, in another place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builds import Site, artifacts, write_tree

pytestmark = [pytest.mark.root, pytest.mark.network]

# To be packed it takes long enough to be killed in.
LARGE = "image:\n  packages: [sandwich]\n  run: ['head -c 60000000 /dev/urandom >/large']\n"


@pytest.fixture
def elsewhere(two_at_once: tuple[Site, list[subprocess.CompletedProcess[str]], list[str]], tmp_path: Path) -> Site:
    """A copy of the small tree in another place, with other times; all of its steps are done."""
    site, _, _ = two_at_once
    shutil.copytree(site.tree, tmp_path / "tree", ignore=shutil.ignore_patterns("builds", "root"))
    for path in (tmp_path / "tree").rglob("*"):
        os.utime(path, (1, 1))
    return replace(site, tree=tmp_path / "tree", builds=tmp_path / "tree/builds")


def _names(lines: str, event: str) -> list[str]:
    values = (json.loads(line) for line in lines.splitlines())
    return [value["step"] for value in values if value.get("event") == event]


def _ran(site: Site, *arguments: str) -> list[str]:
    """The steps that a build runs beside finding its packages."""
    done = site.run("--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [name for name in _names(done.stdout, "StepStarted") if not name.startswith("packages")]


def test_tree_elsewhere_and_touched_runs_nothing_and_has_the_same_artifacts(
    elsewhere: Site, small_images: Path
) -> None:
    assert _ran(elsewhere) == []
    assert artifacts(elsewhere.builds) == artifacts(small_images)


def test_change_of_a_line_of_an_overlay_runs_the_steps_of_that_overlay(elsewhere: Site) -> None:
    config = elsewhere.tree / "vars/extra.yml"
    config.write_text(f"{config.read_text()}  clean: [/usr/share/sandwich]\n")
    plan = json.loads(elsewhere.run("--json", verb="plan").stdout)
    outlook = {step["name"]: (step["state"], tuple(step["reasons"])) for step in plan["steps"]}
    assert outlook["extra: provision"] == ("runs", ("clean > paths: `/usr/share/sandwich` is new",))
    assert outlook["extra: pack"] == ("runs", ("its input `extra: provision` runs",))
    assert {outlook[name] for name in outlook if not name.startswith("extra: ")} == {("kept", ())}
    assert sorted(_ran(elsewhere)) == sorted(name for name in outlook if name.startswith("extra: "))


def _events_until(process: subprocess.Popen[str], event: str, step: str) -> Iterator[str]:
    assert process.stdout
    for line in process.stdout:
        yield line
        if json.loads(line)["event"] == event and json.loads(line)["step"] == step:
            return
    pytest.fail(f"the build ended without {event} of {step}")


def test_build_that_was_killed_goes_on_where_it_was(elsewhere: Site) -> None:
    write_tree(elsewhere.tree, {"vars/extra.yml": LARGE})
    argv = elsewhere.argv("--json")
    with subprocess.Popen(
        argv, cwd=elsewhere.tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = "".join(_events_until(process, "StepStarted", "extra: pack"))
        process.kill()
    assert process.returncode < 0
    assert "extra: provision" in _names(said, "StepFinished")
    assert not (elsewhere.builds / "extra.overlay.cpio.gz").exists()
    behind = {"extra: pack", "extra: contents"}
    assert behind <= set(_ran(elsewhere)) <= {*behind, "extra: sbom", "extra: footing"}
    assert set(artifacts(elsewhere.builds)) == {"base.bookworm.6.1.0-1-amd64.squashfs.img", "extra.overlay.cpio.gz"}


def test_time_of_a_build_is_told_by_step_and_part(elsewhere: Site) -> None:
    write_tree(elsewhere.tree, {"vars/extra.yml": "image: {packages: [sandwich], run: ['true']}\n"})
    page = elsewhere.tree / "profile.html"
    done = elsewhere.run("--profile", "--profile-html", str(page))
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line.startswith(("extra: provision", "  "))]
    assert [line.split("  ")[0] or line.split()[0] for line in shown] == [
        "extra: provision",
        "packages",
        "run",
        "clean",
    ]
    assert "extra: pack" in page.read_text()
    assert " steps are done already; the others take about" in done.stderr


def test_plan_needs_no_root_nor_a_cache_that_can_be_written(elsewhere: Site, tmp_path: Path) -> None:
    as_nobody = ("unshare", "--user", "--map-user=65534", "env", f"HOME={tmp_path}")
    nobody = replace(elsewhere, before=(*elsewhere.before, *as_nobody))
    assert nobody.run().stderr.startswith("error: `imagebuilder build` mounts overlays")
    elsewhere.cache.chmod(0o555)
    try:
        done = nobody.run("--json", verb="plan")
    finally:
        elsewhere.cache.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert {step["state"] for step in json.loads(done.stdout)["steps"]} == {"kept"}
    assert (tmp_path / ".cache/on-imagebuilder/apt").is_dir()

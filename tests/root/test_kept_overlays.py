"""A base moves, the overlays on it stay: what is made again, what is said, and what is the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from builds import Site, artifacts, write_tree
from mirror import Mirror, make_package

pytestmark = [pytest.mark.root, pytest.mark.network]

_NAMES = [f"o{number}" for number in range(10)]
_BASE = "image:\n  agent: false\n  packages: [sandwich={version}]\n  files: [{{dest: /etc/motd, content: {motd}}}]\n"
_OTHERS = {
    "o7": "image:\n  base: [base, o0]\n  files: [{dest: /o7, content: x}]\n",
    "o8": "image:\n  debs: [files/toast.deb]\n",
    "o9": "image:\n  files: [{dest: /etc/motd, content: of an overlay}]\n",
}


def _playbook(*names: str) -> str:
    entry = "- import_playbook: common/{}_wrapper.yml\n  vars: {{config_file: vars/{}.yml}}\n"
    return entry.format("basefs", "base") + "".join(entry.format("overlay", name) for name in names)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mirror: Mirror, mirror_cache: Path) -> Site:
    """A base with ten overlays: files of their own, one on another, one with a package, one with a file of the base."""
    folder = tmp_path_factory.mktemp("kept")
    site = mirror.site(folder / "tree", folder / "cache")
    (folder / "cache").mkdir()
    for name in ("apt", "archives"):
        (mirror_cache / name).mkdir(parents=True, exist_ok=True)
        (folder / "cache" / name).symlink_to(mirror_cache / name)
    (site.tree / "files").mkdir()
    toast = make_package(folder, "toast", "1.0", files={"usr/share/toast": b"toast"}, Depends="sandwich")
    shutil.copy(toast.file, site.tree / "files/toast.deb")
    plain = {name: f"image:\n  files: [{{dest: /{name}, content: x}}]\n" for name in _NAMES}
    configs = {f"vars/{name}.yml": text for name, text in (plain | _OTHERS).items()}
    write_tree(
        site.tree, {"all.yml": _playbook(*_NAMES), "vars/base.yml": _BASE.format(version="1.0", motd="a"), **configs}
    )
    return site


def _kept(lines: str) -> dict[str, tuple[str, list[str]]]:
    events = [json.loads(line) for line in lines.splitlines()]
    return {e["step"]: (e["verdict"], e["shadows"]) for e in events if e.get("event") == "OverlayKept"}


def _started(lines: str) -> set[str]:
    events = [json.loads(line) for line in lines.splitlines()]
    return {e["step"] for e in events if e.get("event") == "StepStarted" and not e["step"].startswith("packages")}


def test_base_moves_under_ten_overlays(site: Site) -> None:
    site.build()
    before = artifacts(site.builds)
    write_tree(site.tree, {"vars/base.yml": _BASE.format(version="2.0", motd="b")})
    done = site.run("--json")
    assert done.returncode == 0, done.stderr
    after = artifacts(site.builds)
    assert {name for name in after if after[name] != before[name]} == {"base.bookworm.6.1.0-1-amd64.squashfs.img"}
    assert _kept(done.stdout) == {name: ("fits", []) for name in _NAMES} | {
        "o9": ("shadows changed files", ["/etc/motd"])
    }
    checks = {f"{name}: check" for name in _NAMES}
    assert (
        _started(done.stdout) == {f"base: {part}" for part in ("bootstrap", "provision", "squashfs", "sbom")} | checks
    )

    again = site.run("--json")
    assert (_started(again.stdout), _kept(again.stdout)) == (set(), _kept(done.stdout))

    rebuilt = site.run("--json", "--rebuild-overlays")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert {f"{name}: pack" for name in _NAMES} <= _started(rebuilt.stdout)
    assert _kept(rebuilt.stdout) == {}
    # ... and from then on these are the overlays.
    assert (_started(site.run("--json").stdout), _kept(site.run("--json").stdout)) == (set(), {})


def test_overlay_that_conflicts_is_made_again(site: Site) -> None:
    write_tree(
        site.tree,
        {
            "conflict.yml": _playbook("conflict"),
            "vars/conflict.yml": "image:\n  run: [dpkg --purge sandwich]\n",
            "vars/base.yml": _BASE.format(version="1.0", motd="c"),
        },
    )
    site.build("conflict.yml")
    write_tree(site.tree, {"vars/base.yml": _BASE.format(version="2.0", motd="c")})
    said = site.build("conflict.yml")
    assert (
        "note: conflict: is made again for the base of now: package sandwich is version 2.0 below, 1.0 when the "
        "overlay was made, which removes it" in said
    )
    assert "conflict: pack: done" in said
    assert "kept, though" not in said


def test_tree_with_a_kept_overlay_is_reproducible_from_nothing(site: Site) -> None:
    write_tree(site.tree, {"one.yml": _playbook("o0"), "vars/base.yml": _BASE.format(version="2.0", motd="d")})
    assert "note: o0: kept, though its base is another one: fits" in site.build("one.yml")
    done = site.run("one.yml", verb="verify-reproducible")
    assert (done.stdout, done.returncode) == ("reproducible: all 6 artifacts, lists and manifests are the same\n", 0), (
        done.stderr
    )

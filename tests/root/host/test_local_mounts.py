"""What a step mounts is there for its block and then gone; what apt fetched is kept, what else it wrote is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuilder.host.local import AptFiles, LocalMachine

pytestmark = pytest.mark.root


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[LocalMachine]:
    """A machine; afterwards nothing of it is mounted."""
    for name in ("lists/partial", "archives/partial", "a", "b", "upper"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lists/index").write_text("index")
    (tmp_path / "archives/old_1_all.deb").write_text("old")
    (tmp_path / "a/both").write_text("a")
    (tmp_path / "a/one").write_text("one")
    (tmp_path / "b/both").write_text("b")
    mounts = Path("/proc/self/mounts").read_text()
    apt = AptFiles(tmp_path / "lists", tmp_path / "archives", {"apt.conf": b"conf"})
    yield LocalMachine("x", tmp_path / "scratch", apt, {}, lambda _: None)
    assert Path("/proc/self/mounts").read_text() == mounts


def test_last_layer_is_on_top_and_changes_go_to_the_upper(machine: LocalMachine, tmp_path: Path) -> None:
    with machine.overlay([tmp_path / "a", tmp_path / "b"], tmp_path / "upper") as merged:
        assert (merged / "both").read_text() == "b"
        (merged / "new").write_text("new")
        (merged / "one").unlink()
    assert sorted(os.listdir(tmp_path / "upper")) == ["new", "one"]
    assert (tmp_path / "a/one").exists()


def test_paths_may_hold_what_mount_options_are_separated_by(machine: LocalMachine, tmp_path: Path) -> None:
    odd = tmp_path / "a:b,c\\d e"
    for name in ("one", "two", "upper"):
        (odd / name).mkdir(parents=True)
        (odd / name / name).touch()
    with machine.overlay([odd / "one", odd / "two"], odd / "upper") as merged:
        (merged / "new").touch()
        assert sorted(os.listdir(merged)) == ["new", "one", "two", "upper"]
    assert sorted(os.listdir(odd / "upper")) == ["new", "upper"]


@pytest.mark.parametrize("names", [["a", "b"], ["a"]])
def test_view_without_an_upper_shows_all_layers(machine: LocalMachine, tmp_path: Path, names: list[str]) -> None:
    with machine.overlay([tmp_path / name for name in names]) as merged:
        assert (merged / "both").read_text() == names[-1]
        assert (merged / "one").read_text() == "one"


def test_several_views_may_be_open_at_once(machine: LocalMachine, tmp_path: Path) -> None:
    with machine.overlay([tmp_path / "a"]) as first, machine.overlay([tmp_path / "b"]) as second:
        assert (first / "both").read_text() + (second / "both").read_text() == "ab"


def test_of_apts_folders_only_fetched_packages_are_kept(machine: LocalMachine, tmp_path: Path) -> None:
    with machine.apt_cache() as cache:
        assert (cache / "lists/index").read_text() == "index"
        assert (cache / "apt.conf").read_bytes() == b"conf"
        (cache / "lists/index").write_text("other")
        (cache / "archives/old_1_all.deb").unlink()
        (cache / "archives/new_1_all.deb").write_text("new")
        (cache / "archives/half").write_text("half")
        (cache / "apt.conf").write_text("other")
    assert (tmp_path / "lists/index").read_text() == "index"
    assert sorted(os.listdir(tmp_path / "archives")) == [
        "imagebuilder.lock",
        "new_1_all.deb",
        "old_1_all.deb",
        "partial",
    ]
    assert (tmp_path / "archives/old_1_all.deb").read_text() == "old"


def test_nothing_that_apt_fetched_is_kept_after_a_failure(machine: LocalMachine, tmp_path: Path) -> None:
    def fetch_half() -> None:
        with machine.apt_cache() as cache:
            (cache / "archives/new_1_all.deb").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fetch_half()
    assert not (tmp_path / "archives/new_1_all.deb").exists()

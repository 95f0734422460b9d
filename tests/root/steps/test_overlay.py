"""What a provisioner leaves on a real overlay mount means the same on a node, in every format that it is packed in."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from imagebuilder import digest
from imagebuilder.errors import UserError
from imagebuilder.events import Event, Note
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.steps.base import Action
from imagebuilder.steps.contents import ListContents, read_notes
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.steps.provision import Provision

pytestmark = pytest.mark.root

BASE = {
    "etc/kept": "kept",
    "etc/changed": "old",
    "etc/deleted": "deleted",
    "opt/gone/a/b": "gone",
    "opt/replaced/old": "old",
    "opt/replaced/both": "old",
    "opt/replaced/deep/old": "old",
    "opt/replaced/deep/again/old": "old",
    "opt/becomes-file/x": "x",
    "opt/becomes-folder": "x",
    "opt/moved/x": "x",
}
EPOCH = 1_000_000_000


def _change(root: Path) -> None:
    """Everything that an upperdir can express."""
    (root / "etc/changed").write_text("new")
    (root / "etc/deleted").unlink()
    shutil.rmtree(root / "opt/gone")
    shutil.rmtree(root / "opt/replaced")
    (root / "opt/replaced/deep/again").mkdir(parents=True)
    (root / "opt/replaced/both").write_text("new")
    (root / "opt/replaced/deep/new").write_text("new")
    shutil.rmtree(root / "opt/becomes-file")
    (root / "opt/becomes-file").write_text("file")
    (root / "opt/becomes-folder").unlink()
    (root / "opt/becomes-folder/in").mkdir(parents=True)
    shutil.copytree(root / "opt/moved", root / "opt/arrived")
    shutil.rmtree(root / "opt/moved")
    os.link(root / "etc/kept", root / "etc/linked")
    (root / "etc/link").symlink_to("kept")
    (root / "etc/linked").chmod(0o4755)
    os.chown(root / "etc/linked", 1000, 70_000)
    os.mknod(root / "etc/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "etc/socket"))


@dataclass(frozen=True, slots=True)
class Change(Action):
    kind: ClassVar[str] = "change"
    change: Callable[[Path], None] = _change

    def run(self, machine: Machine, root: Chroot) -> None:
        self.change(root.path)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to build in, a base, and what the machine had to say."""

    folder: Path
    base: Path
    events: list[Event]

    @property
    def machine(self) -> LocalMachine:
        apt = AptFiles(self.folder / "lists", self.folder / "archives", {})
        number = len(list(self.folder.glob("scratch-*")))
        (self.folder / f"scratch-{number}").mkdir()
        return LocalMachine("x", self.folder / f"scratch-{number}", apt, {}, self.events.append)

    def provision(self, name: str, change: Callable[[Path], None] = _change) -> Path:
        upper = self.folder / name
        upper.mkdir()
        Provision((Change(change),)).run(self.machine, {"lower": (self.base,)}, upper)
        return upper


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("lists", "archives", "base/etc"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in BASE.items():
        (tmp_path / "base" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "base" / name).write_text(text)
    return Place(tmp_path, tmp_path / "base", [])


def _listing(root: Path) -> dict[str, tuple[object, ...]]:
    """What a program sees of a tree, but for what every build may have another of."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_text() if stat.S_ISREG(status.st_mode) else ""
        target = os.readlink(path) if path.is_symlink() else ""
        name = str(path.relative_to(root))
        if not stat.S_ISSOCK(status.st_mode):  # a daemon's leftover
            seen[name] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_rdev, content, target)
    return seen


def _pack(place: Place, upper: Path, form: str, name: str) -> Path:
    packed = place.folder / name
    PackOverlay(form, EPOCH).run(place.machine, {"lower": (place.base,), "upper": (upper,)}, packed)
    return packed


def _as_on_a_node(place: Place, packed: Path, form: str) -> dict[str, tuple[object, ...]]:
    """The tree that a node has: an archive is unpacked over the base, a squashfs is a layer above it."""
    if form == "squashfs":
        layer = place.folder / "layer"
        subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-dest", layer, packed], check=True)
        shutil.rmtree(layer / ".on-imagebuilder")
        with place.machine.overlay([place.base, layer]) as merged:
            return _listing(merged)
    upper = place.folder / "node"
    upper.mkdir()
    unpack = {"cpio.gz": "gzip -d", "cpio.zst": "zstd -d -q"}[form]
    subprocess.run(["sh", "-c", f'{unpack} < "$1" | cpio -idm --quiet', "-", str(packed)], cwd=upper, check=True)
    shutil.rmtree(upper / ".on-imagebuilder")
    with place.machine.overlay([place.base], upper) as merged:
        return _listing(merged)


@pytest.mark.parametrize("form", ["cpio.gz", "cpio.zst", "squashfs"])
def test_initrd_of_others_sees_what_the_provisioner_left(place: Place, form: str) -> None:
    upper = place.provision("upper")
    with place.machine.overlay([place.base], upper) as merged:
        expected = _listing(merged)
    assert expected["opt/replaced/both"][4] == "new"
    assert not {"etc/deleted", "opt/gone", "opt/replaced/old", "opt/replaced/deep/again/old"} & expected.keys()
    assert _as_on_a_node(place, _pack(place, upper, form, "packed"), form) == expected


@pytest.mark.parametrize("form", ["cpio.gz", "cpio.zst", "squashfs"])
def test_same_changes_are_the_same_bytes(place: Place, form: str) -> None:
    first, second = (
        digest.of_file(_pack(place, place.provision(f"upper-{name}"), form, f"packed-{name}")) for name in "ab"
    )
    assert first == second


def test_layer_holds_no_trace_of_the_mount(place: Place) -> None:
    upper = place.provision("upper")
    assert not {name for path in (upper, *upper.rglob("*")) for name in os.listxattr(path, follow_symlinks=False)}


def _with_capability(root: Path) -> None:
    for name in ("etc/changed", "opt/becomes-folder"):
        subprocess.run(["setcap", "cap_net_raw+ep", root / name], check=True)


@pytest.mark.parametrize("form", ["cpio.gz", "cpio.zst"])
def test_contents_are_what_a_node_unpacks(place: Place, form: str) -> None:
    def change(root: Path) -> None:
        _change(root)
        subprocess.run(["setcap", "cap_net_raw+ep", root / "etc/changed"], check=True)
        (root / "opt/becomes-file").chmod(0o4755)
        (root / "opt/large").write_bytes(bytes(100_000))

    packed, listed = _pack(place, place.provision("upper", change), form, "packed"), place.folder / "contents"
    ListContents(form).run(place.machine, {"packed": (packed,)}, listed)
    notes = dict(read_notes(listed.read_text()))
    assert notes["on-imagebuilder.special"] == "/etc/changed /etc/null /opt/becomes-file"
    script = 'mount -t tmpfs tmpfs /mnt && cd /mnt && $1 <"$2" | cpio -idm --quiet && stat -f -c "%b %f %S" .'
    argv = ["unshare", "--mount", "sh", "-ec", script, "sh", {"cpio.gz": "gzip -d", "cpio.zst": "zstd -d -q"}[form]]
    said = subprocess.run([*argv, str(packed)], check=True, capture_output=True, text=True).stdout
    blocks, free, size = map(int, said.split())
    assert int(notes["on-imagebuilder.unpacked"]) == (blocks - free) * size > 100_000


def test_what_an_archive_cannot_carry_is_said(place: Place) -> None:
    _pack(place, place.provision("upper", _with_capability), "cpio.gz", "packed")
    notes = [event.message for event in place.events if isinstance(event, Note)]
    said = "has security.capability: only an initrd of ours brings it to the node"
    assert notes == [f"/etc/changed {said}", f"/opt/becomes-folder {said}"]


def test_strictly_portable_overlay_with_losses_is_refused_and_each_is_named(place: Place) -> None:
    upper = place.provision("upper", _with_capability)
    layers = {"lower": (place.base,), "upper": (upper,)}
    with pytest.raises(UserError) as caught:
        PackOverlay("cpio.gz", EPOCH, strict=True).run(place.machine, layers, place.folder / "packed")
    assert caught.value.message.splitlines()[1:] == [
        "/etc/changed loses security.capability", "/opt/becomes-folder loses security.capability"
    ]  # fmt: skip
    assert not (place.folder / "packed").exists()


@pytest.mark.parametrize("form", ["cpio.gz", "squashfs"])
def test_what_travels_beside_is_roots_alone(place: Place, form: str) -> None:
    """There are lists of changed passwords in it, and an initrd of others leaves it in the image."""
    packed = _pack(place, place.provision("upper", _with_capability), form, "packed")
    (place.folder / "out").mkdir()
    reader = {"cpio.gz": "gzip -dc {} | cpio -idm --quiet", "squashfs": "unsquashfs -quiet -force -dest . {}"}[form]
    subprocess.run(reader.format(packed), shell=True, check=True, cwd=place.folder / "out", capture_output=True)
    found = [place.folder / "out/.on-imagebuilder", *(place.folder / "out/.on-imagebuilder").rglob("*")]
    assert not [path for path in found if path.stat().st_mode & 0o077]

"""The initrd: busybox, our /init, chosen programs, and the modules as a squashfs that stays mounted.

The modules are not plain files of the initramfs but one squashfs in it: small
in RAM, and at hand-over it becomes a layer of the image, so that the booted
system finds the modules of the very kernel that runs. Only what mounts it
(`loop`, `squashfs`) lies beside it in /early, listed in the order of loading.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Literal

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps import kernel, modules
from imagebuilder.steps.base import Inputs, Source, Step

if TYPE_CHECKING:
    from imagebuilder.steps import cpio

MODULES_IMAGE = b"modules.squashfs"
_MOUNTED = b"/layers/modules/"
_FOLDERS = ("dev", "jail", "layers", "newroot", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/lib", "usr/sbin")
_LINKS = ("bin", "lib", "lib64", "sbin")
_APPLETS = "usr/lib/imagebuilder/applets"
_TRUST = "etc/imagebuilder"
_EARLY = ("loop", "squashfs")


@dataclass(frozen=True, slots=True)
class Trust:
    """What an initrd accepts: signatures of `keys` (lines as `minisign -P` takes them), not older than `since`.

    `since` is in seconds since 1970.
    """

    keys: tuple[str, ...]
    since: int


@dataclass(frozen=True, slots=True)
class InitramfsTree(Step):
    """The initrd's files without modules: `node` (our part, as it is), busybox and `programs` out of `userland`.

    A `programs` entry is a name or an absolute path; its libraries come along.
    Without `trust` the node boots what nobody signed. `authorities` are certificates in PEM; with them
    the node takes HTTPS, and `programs` has wget.
    """

    kind: ClassVar[str] = "initramfs-tree"
    version: ClassVar[int] = 2
    makes_folder: ClassVar[bool] = True

    node: Source
    userland: tuple[Deb, ...]
    programs: tuple[str, ...]
    trust: Trust | None = None
    authorities: str = ""

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Raises UserError for a program or library that is in none of the packages."""
        # Late, for planning needs none of it.
        from imagebuilder.steps import libraries
        from imagebuilder.steps.extract import unpack

        root = machine.scratch()
        unpack(machine, self.userland, root)
        kernel.keep_copyright(root, output)
        for name in _FOLDERS:
            (output / name).mkdir(parents=True, exist_ok=True)
        for name in _LINKS:
            (output / "usr" / name).mkdir(exist_ok=True)
            (output / name).symlink_to(f"usr/{name}")
        shutil.copytree(self.node.path, output, dirs_exist_ok=True, copy_function=_copy)
        files = libraries.closure(root, ("busybox", *self.programs))
        for place, file in files.items():
            _install(file, output / place)
        if self.trust:
            _write(output / _TRUST / "keys", "".join(f"{key}\n" for key in self.trust.keys))
            _write(output / _TRUST / "since", f"{self.trust.since}\n")
        if self.authorities:
            _write(output / _TRUST / "ca.pem", self.authorities)
        applets = (output / _APPLETS).read_text().split()
        link_applets(output, applets, (output / "usr/bin/busybox").read_bytes())


@dataclass(frozen=True, slots=True)
class PackInitramfs(Step):
    """The merged view of the input layers `lower` as an initrd for the input `kernel`.

    `compressor` packs the modules: xz is smallest, zstd is the quickest to
    read. The archive itself is compressed with zstd where the kernel can
    unpack that, else with gzip.
    """

    kind: ClassVar[str] = "initramfs"
    version: ClassVar[int] = 3

    release: str
    compressor: Literal["xz", "zstd"]
    epoch: int

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Index the modules (a role may have added some), pack them, pack all."""
        from imagebuilder.steps import cpio  # late, for planning needs none of it

        (built,) = inputs["kernel"]
        scratch = machine.scratch()
        (scratch / "upper").mkdir()
        with machine.overlay(inputs["lower"], scratch / "upper") as tree:
            self._index(machine, tree, built)
            image = scratch / MODULES_IMAGE.decode()
            self._squash(machine, tree, image)
            early = modules.closure(_EARLY, modules.module_files(self._folder(tree)), self._folder(tree))
            members = [*_plain_files(cpio.scan(tree, clamp=self.epoch)), *_additions(image, early, self.epoch)]
            with (scratch / "initramfs").open("wb") as archive:
                cpio.write(cpio.number(members), archive)
        machine.progress("compressing")
        compress(machine, scratch / "initramfs", output, zstd="CONFIG_RD_ZSTD=y" in kernel.config(built, self.release))

    def _folder(self, root: Path) -> Path:
        return root / kernel.MODULES / self.release

    def _index(self, machine: Machine, tree: Path, built: Path) -> None:
        symbols = built / "boot" / f"System.map-{self.release}"
        machine.run(Command(("depmod", "-b", str(tree / "usr"), "-F", str(symbols), self.release)))

    def _squash(self, machine: Machine, tree: Path, image: Path) -> None:
        blocks = {"xz": ("-b", "1M"), "zstd": ("-Xcompression-level", "19", "-b", "128K")}[self.compressor]
        argv = (
            *("mksquashfs", str(tree), str(image), "-noappend", "-no-progress", "-quiet", "-no-xattrs"),
            *("-comp", self.compressor, *blocks),
            *("-wildcards", "-e", "!(usr)", "usr/!(lib)", "usr/lib/!(modules|firmware)"),
        )
        machine.progress("packing modules")
        machine.run(Command(argv, env={"SOURCE_DATE_EPOCH": str(self.epoch)}))


def link_applets(tree: Path, applets: list[str], busybox: bytes) -> None:
    """Link the busybox applets that /init calls, where no program of that name is. Raises ImagebuilderError."""
    # Its applets' names stand in it one after another, each closed by a zero byte.
    missing = [name for name in applets if b"\0" + name.encode() + b"\0" not in busybox]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        raise ImagebuilderError(f"this busybox lacks {names}, which /init needs")
    for name in applets:
        if not any((tree / folder / name).exists() for folder in ("usr/bin", "usr/sbin")):
            (tree / "usr/bin" / name).symlink_to("busybox")
    # The kernel itself calls this path when it wants a module.
    if not (tree / "usr/sbin/modprobe").exists():
        (tree / "usr/sbin/modprobe").symlink_to("../bin/modprobe")


def compress(machine: Machine, archive: Path, output: Path, *, zstd: bool) -> None:
    """Compress a file reproducibly, into `output`."""
    if zstd:
        machine.run(Command(("zstd", "-9", "-T1", "-q", str(archive), "-o", str(output))))
    else:
        machine.run(Command(("gzip", "-9", "-n", str(archive))))
        shutil.move(archive.with_name(f"{archive.name}.gz"), output)


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    target.chmod(0o644)


def _copy(source: str, target: str) -> None:
    _install(Path(source), Path(target))


def _install(source: Path, target: Path) -> None:
    """Copy a file with a mode that depends on nothing but its content: programs can be run."""
    data = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_bytes(data)
    target.chmod(0o755 if data.startswith((b"#!", b"\x7fELF")) else 0o644)


def _plain_files(sources: list[cpio.Source]) -> Iterator[cpio.Source]:
    """Without modules and firmware, which are in the squashfs, and without what the node does not need."""
    left_out = tuple(str(folder).encode() for folder in (kernel.MODULES, modules.FIRMWARE, kernel.COPYRIGHT))
    for source in sources:
        name = source.member.name
        if not any(name == folder or name.startswith(folder + b"/") for folder in left_out):
            yield source


def _additions(image: Path, early: dict[str, bytes], epoch: int) -> Iterator[cpio.Source]:
    """What stands in the place of modules and firmware."""
    from imagebuilder.steps import cpio

    yield cpio.Source(_member(MODULES_IMAGE, stat.S_IFREG | 0o644, image.stat().st_size, epoch), image)
    for folder in (kernel.MODULES, modules.FIRMWARE):
        target = _MOUNTED + str(folder).encode()
        yield cpio.Source(_member(str(folder).encode(), stat.S_IFLNK | 0o777, len(target), epoch), target)
    files = {PurePosixPath(path).name: data for path, data in early.items()}
    files["order"] = "".join(f"{name}\n" for name in files).encode()
    yield cpio.Source(_member(b"early", stat.S_IFDIR | 0o755, 0, epoch))
    for name, data in files.items():
        yield cpio.Source(_member(b"early/" + name.encode(), stat.S_IFREG | 0o644, len(data), epoch), data)


def _member(name: bytes, mode: int, size: int, epoch: int) -> cpio.Member:
    from imagebuilder.steps import cpio

    return cpio.Member(name, mode, mtime=epoch, size=size)

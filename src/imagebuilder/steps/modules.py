"""The kernel modules of an initrd and of what it boots, with all that they depend on, and their firmware.

Modules say themselves what they want (`.modinfo`): `depends` and `softdep`
name other modules, `firmware` names files below /usr/lib/firmware. A profile
is a text file beside this one; `modules-virt.txt` tells its form.
"""

from __future__ import annotations

import difflib
import gzip
import lzma
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from imagebuilder.errors import UserError
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.steps.kernel import COPYRIGHT_FILES, MODULES, keep_copyright

PROFILES: Mapping[str, tuple[str, ...]] = {"virt": ("virt",), "metal": ("virt", "metal")}
"""Profile -> the lists that it is made of."""

FIRMWARE = Path("usr/lib/firmware")

_DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".ko": bytes,
    ".xz": lzma.decompress,
    ".gz": gzip.decompress,
}
_NO_FIRMWARE = "-firmware/"
_KEPT_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


def profile(name: str) -> tuple[str, ...]:
    """The lines of a profile (`virt`, `metal`), comments removed."""
    folder = Path(__file__).parent
    lines = [line for part in PROFILES[name] for line in (folder / f"modules-{part}.txt").read_text().splitlines()]
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Modules(Step):
    """A layer with /usr/lib/modules/RELEASE and /usr/lib/firmware from the input `kernel`.

    `selection` holds lines of a profile; `extra` the same kind of lines that
    the user asks for: there a name that the kernel lacks is an error. Without
    `firmware` packages none is put in.
    """

    kind: ClassVar[str] = "modules"
    version: ClassVar[int] = 2
    makes_folder: ClassVar[bool] = True

    release: str
    selection: tuple[str, ...]
    extra: tuple[str, ...]
    firmware: tuple[Deb, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Copy modules, decompressed, and firmware. Raises UserError for an unknown module in `extra`."""
        (kernel,) = inputs["kernel"]
        source = kernel / MODULES / self.release
        target = output / MODULES / self.release
        files = module_files(source)
        refuse_unknown(self.extra, files, (source / "modules.builtin").read_text())
        chosen = closure(select(files, (*self.selection, *self.extra)), files, source)
        for path, data in chosen.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(data)
        for name in _KEPT_LISTS:
            shutil.copyfile(source / name, target / name)
        self._add_firmware(machine, chosen, output)

    def _add_firmware(self, machine: Machine, chosen: Mapping[str, bytes], output: Path) -> None:
        from imagebuilder.steps.extract import unpack  # late, for planning needs none of it

        (output / FIRMWARE).mkdir(parents=True)
        if not self.firmware:
            return
        unpacked = machine.scratch()
        unpack(machine, self.firmware, unpacked, ("/lib/firmware/*", f"/{FIRMWARE}/*", COPYRIGHT_FILES))
        keep_copyright(unpacked, output)
        wanted = wanted_firmware(chosen, (*self.selection, *self.extra))
        missing = copy_firmware(wanted, unpacked, output / FIRMWARE)
        if missing:
            names = ", ".join(f"{name} ({', '.join(users)})" for name, users in missing.items())
            machine.note(f"firmware that no package has: {names}")


def module_files(folder: Path) -> Mapping[str, str]:
    """Module name (with underscores) -> path below `folder`, of all modules there."""
    found = {}
    for place, _, files in os.walk(folder):
        for file in sorted(files):
            name, dot, _ = file.partition(".ko")
            if dot:
                found[canonical(name)] = os.path.relpath(os.path.join(place, file), folder)
    return found


def canonical(name: str) -> str:
    """The name that the kernel uses for a module: file names may have dashes in place of underscores."""
    return name.replace("-", "_")


def select(files: Mapping[str, str], lines: Iterable[str]) -> set[str]:
    """The module names that profile lines mean, of those in `files`."""
    chosen: set[str] = set()
    for line in lines:
        wanted = line.removeprefix("-")
        if "/" in wanted:
            named = {name for name, path in files.items() if path.startswith(f"kernel/{wanted}")}
        else:
            named = {canonical(wanted)} & files.keys()
        chosen = chosen - named if line.startswith("-") else chosen | named
    return chosen


def refuse_unknown(lines: Iterable[str], files: Mapping[str, str], builtin: str) -> None:
    """Check lines that a user wrote; `builtin` is the text of modules.builtin. Raises UserError."""
    known = {*files, *module_names(builtin)}
    for line in lines:
        name = line.removeprefix("-")
        if "/" not in name and canonical(name) not in known:
            near = difflib.get_close_matches(canonical(name), known, n=1)
            raise UserError(
                f"the kernel has no module `{name}`",
                hint=f"`modules:` of the initrd; did you mean `{near[0]}`?" if near else "`modules:` of the initrd",
            )


def module_names(listing: str) -> set[str]:
    """The module names in the text of modules.builtin or modules.order."""
    return {canonical(Path(line).name.partition(".ko")[0]) for line in listing.splitlines()}


def closure(names: Iterable[str], files: Mapping[str, str], folder: Path) -> dict[str, bytes]:
    """These modules and all that they depend on, in an order in which they can be loaded.

    Path below `folder`, without a compression's suffix -> content, decompressed.
    """
    done: dict[str, bytes] = {}
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen or name not in files:
            return
        seen.add(name)
        path = folder / files[name]
        data = _DECOMPRESS[path.suffix](path.read_bytes())
        for needed in dependencies(data):
            add(needed)
        done[files[name].partition(".ko")[0] + ".ko"] = data

    for name in sorted(names):
        add(name)
    return done


def dependencies(module: bytes) -> list[str]:
    """The modules that one wants loaded with it; some names are aliases, or of what the kernel has built in."""
    from imagebuilder.steps import elf  # late, for planning needs none of it

    info = elf.modinfo(module)
    hard = [name for text in info.get("depends", ()) for name in text.split(",")]
    soft = [name for text in info.get("softdep", ()) for name in text.split() if not name.endswith(":")]
    return [canonical(name) for name in (*hard, *soft)]


def wanted_firmware(modules: Mapping[str, bytes], lines: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Firmware file -> the modules (of path -> content) that may ask for it, less what profile lines leave out."""
    from imagebuilder.steps import elf

    left_out = [line.removeprefix(_NO_FIRMWARE) for line in lines if line.startswith(_NO_FIRMWARE)]
    users: dict[str, tuple[str, ...]] = {}
    for path, data in modules.items():
        for name in elf.modinfo(data).get("firmware", ()):
            if not any(fnmatchcase(name, pattern) for pattern in left_out):
                users[name] = (*users.get(name, ()), Path(path).stem)
    return dict(sorted(users.items()))


def copy_firmware(wanted: Mapping[str, tuple[str, ...]], root: Path, target: Path) -> dict[str, tuple[str, ...]]:
    """Copy firmware out of unpacked packages (usr/lib/firmware or lib/firmware). Returns what they lack."""
    missing = {}
    folders = [root / FIRMWARE, root / "lib/firmware"]
    for name, users in wanted.items():
        # A name may hold a pattern, and a file may be compressed: the kernel tries these names too.
        found = [path for folder in folders for end in ("", ".zst", ".xz") for path in folder.glob(name + end)]
        for path in found:
            place = target / next(path.relative_to(folder) for folder in folders if path.is_relative_to(folder))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        if not found:
            missing[name] = users
    return missing

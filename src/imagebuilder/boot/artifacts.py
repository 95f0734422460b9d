"""What an artifact folder holds, by the names of 2015, and which of it boots together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from imagebuilder.errors import UserError
from imagebuilder.store.manifest import Manifest

_INITRD = "initrd.img-"
_KERNEL = "vmlinuz-"
_BASE = ".squashfs.img"
_MANIFEST = ".manifest.json"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user named; None and () leave the choice to us."""

    base: str | None = None
    overlays: tuple[str, ...] = ()
    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The files of one boot, all in `folder`; `manifest` is the signed one that names just them, if there is one."""

    folder: Path
    kernel: str
    initrd: str
    base: str
    overlays: tuple[str, ...]
    manifest: str | None = None


def select(folder: Path, wanted: Selection) -> Artifacts:
    """Choose from `folder`. Raises UserError that says what is there instead."""
    if not folder.is_dir():
        raise UserError(
            f"there is no artifact folder `{folder}`", hint="`imagebuilder build` makes it; or --builds DIR"
        )
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    release = _kernel_release(names, wanted.kernel, folder)
    chosen = Artifacts(
        folder=folder,
        kernel=_KERNEL + release,
        initrd=_INITRD + release,
        base=_base(names, wanted.base, release, folder),
        overlays=tuple(_overlay(names, overlay, folder) for overlay in wanted.overlays),
    )
    return replace(chosen, manifest=_manifest(names, chosen))


def _manifest(names: list[str], chosen: Artifacts) -> str | None:
    titles = [chosen.kernel, chosen.initrd, chosen.base, *chosen.overlays]
    for name in names:
        if name.endswith(_MANIFEST):
            layers = Manifest.from_bytes((chosen.folder / name).read_bytes()).layers
            if [layer.title for layer in layers] == titles:
                return name
    return None


def _kernel_release(names: list[str], wanted: str | None, folder: Path) -> str:
    """The kernel asked for; else the one for virtual machines, else the newest, of those with an initrd."""
    releases = [name.removeprefix(_KERNEL) for name in names if name.startswith(_KERNEL)]
    releases = [release for release in releases if _INITRD + release in names]
    if wanted is not None:
        if wanted in releases:
            return wanted
        raise UserError(f"`{folder}` has no kernel `{wanted}` with an initrd", hint=_there_is("kernel", releases))
    if not releases:
        raise UserError(
            f"`{folder}` has no kernel with an initrd ({_KERNEL}X and {_INITRD}X)",
            hint="build an initrd image: its wrapper is common/initrd_wrapper.yml",
        )
    return max(releases, key=lambda release: ("cloud" in release, _version(release)))


def _base(names: list[str], wanted: str | None, release: str, folder: Path) -> str:
    """A base by its name or file name; those that were built beside the kernel, then the newest, come first."""
    bases = [name for name in names if name.endswith(_BASE)]
    chosen = [name for name in bases if wanted is None or wanted in (name, name.partition(".")[0])]
    if not chosen:
        which = f"base `{wanted}`" if wanted else "base"
        raise UserError(
            f"`{folder}` has no {which}", hint=_there_is("base", {name.partition(".")[0] for name in bases})
        )
    titles = {name.partition(".")[0] for name in chosen}
    if len(titles) > 1:
        raise UserError(f"`{folder}` has more than one base", hint=_there_is("base", titles))
    return max(chosen, key=lambda name: (release in name, _version(name)))


def _overlay(names: list[str], wanted: str, folder: Path) -> str:
    overlays = {name.partition(".overlay.")[0]: name for name in names if ".overlay." in name}
    if wanted in overlays:
        return overlays[wanted]
    if wanted in names:
        return wanted  # an old tree's own name for it
    raise UserError(f"`{folder}` has no overlay `{wanted}`", hint=_there_is("overlay", overlays))


def _there_is(option: str, names: Iterable[str]) -> str:
    listed = ", ".join(f"--{option} {name}" for name in sorted(names))
    return listed or f"nothing that --{option} could name has been built"


def _version(text: str) -> list[tuple[int, str]]:
    """A key that puts 6.1.0-9 before 6.1.0-10."""
    key: list[tuple[int, str]] = []
    for part in text.replace("-", ".").split("."):
        key.append((int(part), "") if part.isdigit() else (-1, part))
    return key

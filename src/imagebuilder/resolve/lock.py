"""imagebuilder.lock: what a tree came down to, as a value and as text.

The text is JSON with sorted keys and one package a line (`NAME VERSION
ARCHITECTURE SIZE SHA256`), so that a change of one package is a change of one
line. It names no mirror: any that has these packages will do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuilder.errors import Location, SpecError
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.resolution import ImagePackages, Kernel

FILE = "imagebuilder.lock"
"""Its name in the tree's root."""

FORMAT = 1
_DEB = re.compile(r"([a-z0-9][a-z0-9+.-]+) ([A-Za-z0-9.+~:-]+) ([a-z0-9-]+) (\d+) ([0-9a-f]{64})")
_AS_IT_WAS = "take the file from your version control, or remove it and run `imagebuilder lock`"


@dataclass(frozen=True, slots=True)
class LockedImage:
    """One image: what it asked for, its packages, and by place in the tree the digests of what it reads there.

    `asks` holds JSON values by key of `image:`: all that `packages` depend on.
    """

    asks: Mapping[str, Any]
    packages: ImagePackages
    reads: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole file.

    `playbook` names the images; `settings` are the tree's that packages depend
    on, by name; `program` is what imagebuilder itself asks for; `releases` are
    `DATE SHA256` of the Release files that were read last, by suite; `kernel`,
    `python` and `epoch` are those of a `Resolution`.
    """

    playbook: str
    settings: Mapping[str, Any]
    program: Mapping[str, Any]
    releases: Mapping[str, tuple[str, ...]]
    kernel: Kernel
    python: tuple[Deb, ...]
    images: Mapping[str, LockedImage]
    epoch: int


def text_of(lock: Lock) -> str:
    """The file's text: equal locks have equal texts."""
    value = {
        "format": FORMAT,
        "playbook": lock.playbook,
        "settings": lock.settings,
        "program": lock.program,
        "releases": {suite: list(entries) for suite, entries in lock.releases.items()},
        "kernel": _kernel_value(lock.kernel),
        "python": _lines(lock.python),
        "images": {name: _image_value(image) for name, image in lock.images.items()},
        "epoch": lock.epoch,
    }
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_lock(root: Path) -> Lock | None:
    """The lock of the tree at `root`, if it has one. Raises SpecError when the file cannot be used."""
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"this lock cannot be read: {error}", location=Location(path), hint=_AS_IT_WAS) from None
    return parse(text, path)


def parse(text: str, path: Path) -> Lock:
    """The lock that `text`, the content of `path`, holds. Raises SpecError."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        location = Location(path, error.lineno)
        raise SpecError(f"this lock is damaged: {error.msg}", location=location, hint=_AS_IT_WAS) from None
    found = value.get("format") if isinstance(value, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise SpecError(
            f"this lock has format {found}, of a newer imagebuilder; this one reads format {FORMAT}",
            location=Location(path),
            hint="install that version, or remove the file and run `imagebuilder lock`",
        )
    try:
        return _lock(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        raise SpecError(f"this lock is damaged: {what}", location=Location(path), hint=_AS_IT_WAS) from None


def _lock(value: Mapping[str, Any]) -> Lock:
    if value["format"] != FORMAT:
        raise ValueError(f"`format: {value['format']}` is none of ours")
    return Lock(
        playbook=value["playbook"],
        settings=value["settings"],
        program=value["program"],
        releases={suite: tuple(entries) for suite, entries in value["releases"].items()},
        kernel=_kernel(value["kernel"]),
        python=_debs(value["python"]),
        images={name: _image(image) for name, image in value["images"].items()},
        epoch=int(value["epoch"]),
    )


def _image_value(image: LockedImage) -> dict[str, Any]:
    packages = image.packages
    parts = {"install": packages.install, "userland": packages.userland, "firmware": packages.firmware}
    value: dict[str, Any] = {"asks": image.asks, "reads": image.reads}
    value |= {part: _lines(debs) for part, debs in parts.items() if debs}
    return value | ({"kernel": _kernel_value(packages.kernel)} if packages.kernel else {})


def _image(value: Mapping[str, Any]) -> LockedImage:
    packages = ImagePackages(
        install=_debs(value.get("install", ())),
        userland=_debs(value.get("userland", ())),
        firmware=_debs(value.get("firmware", ())),
        kernel=_kernel(value["kernel"]) if "kernel" in value else None,
    )
    return LockedImage(value["asks"], packages, value["reads"])


def _kernel_value(kernel: Kernel) -> dict[str, Any]:
    return {"release": kernel.release, "packages": _lines(kernel.debs)}


def _kernel(value: Mapping[str, Any]) -> Kernel:
    return Kernel(value["release"], _debs(value["packages"]))


def _lines(debs: Iterable[Deb]) -> list[str]:
    return [f"{deb.name} {deb.version} {deb.architecture} {deb.size} {deb.sha256}" for deb in debs]


def _debs(lines: Iterable[str]) -> tuple[Deb, ...]:
    return tuple(map(_deb, lines))


def _deb(line: str) -> Deb:
    match = _DEB.fullmatch(line)
    if not match:
        raise ValueError(f"`{line}` is no package")
    name, version, architecture, size, sha256 = match.groups()
    return Deb(name, version, architecture, int(size), sha256)

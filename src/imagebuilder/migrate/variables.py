"""Which of an old tree's variables can go: those that mean nothing, and those whose meaning a key of ours has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from imagebuilder.spec.legacy.variables import BUILD_ROOTS, find

LISTS = ("packages", "include_packages", "include_binaries", "debs")
_KERNELS = r"\{\{\s*(?:ubuntu|basefs|initrd)_kernel_version\s*\}\}"
_BASE_NAME = re.compile(r"([A-Za-z0-9][\w-]*)\.\{\{\s*debootstrap_release\s*\}\}\." + _KERNELS + r"\.squashfs\.img")
_OVERLAY_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]*)\.overlay\.cpio(?:\.gz)?")
_BASE_PATH = re.compile(r"\{\{\s*build_artifact_path\s*\}\}/\{\{\s*basefs_image_name\s*\}\}")


def words(value: Any) -> set[str]:
    """The names that a value (or the text of a file) may speak of."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return set(re.findall(r"[A-Za-z_]\w*", text))


def base_name(value: Any) -> str | None:
    """The image's name, where the name of a base's artifact is the one that it has anyway."""
    match = _BASE_NAME.fullmatch(str(value))
    return match[1] if match else None


def overlay_name(value: Any) -> str | None:
    """The same for an overlay."""
    match = _OVERLAY_NAME.fullmatch(str(value))
    return match[1] if match else None


def movable(name: str, value: Any, given: Mapping[str, Any]) -> bool:
    """Whether nothing is lost when a variable goes that nobody names; `given` are the variables beside it."""
    row = find(name)
    if row is None or row.fate == "same":
        return False
    if row.about in LISTS:
        return isinstance(value, list) or (row.about == "debs" and isinstance(value, str))
    match name:
        case "basefs_image_name":
            return base_name(value) is not None
        case "overlayfs_archive_name":
            return overlay_name(value) is not None
        case "squashfs_image_path":
            return _BASE_PATH.fullmatch(str(value)) is not None
        case "debootstrap_apt_server":
            return "apt_server" in given or "{{" not in str(value)
    return True


def dropped(files: Iterable[Mapping[str, Any]], named: set[str]) -> frozenset[str]:
    """The variables of a tree's files that can go; `named` are the words of all that stays beside them."""
    given = [dict(file) for file in files]
    candidates = {name for file in given for name in file}
    candidates = {name for name in candidates if all(movable(name, f[name], f) for f in given if name in f)}
    # The build sets these, whoever names them.
    roots = candidates & BUILD_ROOTS
    given = [{name: value for name, value in file.items() if name not in roots} for file in given]
    candidates -= roots
    while True:
        spoken = named | {
            word for file in given for name, value in file.items() if name not in candidates for word in words(value)
        }
        left = candidates - spoken
        if left == candidates:
            return frozenset(left | roots)
        candidates = left

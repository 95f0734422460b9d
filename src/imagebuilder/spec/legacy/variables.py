"""Every variable of 2015 that meant something to the build, and what it means today: the one table.

The reference (docs/reference/names-of-2015.md) is checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from imagebuilder.spec.inventory import Kind

Place = Kind | Literal["tree"]
Fate = Literal["same", "key", "variable", "gone"]
"""Means what it meant, under its own name; means a key of ours; is there for values and roles; means nothing."""


@dataclass(frozen=True, slots=True)
class OldVariable:
    """`name` may hold a `*`; `place` is the kind of image that it is said for.

    `about` is the key that it means, what it is, or why it is gone.
    """

    name: str
    place: Place
    fate: Fate
    about: str


def _rows(place: Place, fate: Fate, rows: Mapping[str, str]) -> tuple[OldVariable, ...]:
    return tuple(OldVariable(name, place, fate, about) for name, about in rows.items())


_SAME = "as it was"
_ROOT = "set by the build: the root that a role works on, as the build host sees it"
_MOUNTS = "a build has mounts and folders of its own, seen by nobody else"

TABLE: tuple[OldVariable, ...] = (
    *_rows(
        "tree",
        "same",
        {
            "apt_server": "HOST[:PORT] of a mirror or cache for all packages",
            "debootstrap_arch": _SAME,
            "debootstrap_release": "the suite",
            "repository_lists": "lines of sources.list, or mappings with `line`; what is read anyway is left out",
            "build_artifact_path": _SAME,
            "build_root_size": "for the whole build; that of one image means nothing",
        },
    ),
    *_rows(
        "tree",
        "key",
        {
            "ubuntu_kernel_version": "kernel_package",
            "debootstrap_apt_server": "apt_server",
        },
    ),
    *_rows(
        "tree",
        "variable",
        {
            "base_repository_list": "the beginning of the lines of `repository_lists`",
            "build_root": _ROOT,
            "basefs_build_root": _ROOT,
            "initrd_build_env_root": _ROOT,
            "overlayfs_build_root": _ROOT,
        },
    ),
    *_rows(
        "tree",
        "gone",
        {
            "ansible_dependencies": "an image needs no Python: the build lends its own",
            "debootstrap_variant": "a base begins as `minbase`, and `packages` names what it lacks",
            "overlayfs_lower_dir": _MOUNTS,
            "overlayfs_upper_dir": _MOUNTS,
            "overlayfs_work_dir": _MOUNTS,
            "build_root_build_size": "`build_root_size` of group_vars holds for the whole build",
            "ipxe_build_artifact_path": "no boot loader is built here",
            "syslinux_build_artifact_path": "no boot loader is built here",
        },
    ),
    *_rows(
        "initrd",
        "key",
        {
            "initrd_kernel_version": "kernel_package",
            "initrd_package_manifest": "include_packages",
            "initrd_include_binaries": "include_binaries",
        },
    ),
    OldVariable(
        "initrd_build_env_exclude_packages",
        "initrd",
        "gone",
        "an initrd holds the programs that it names, and a build root what those need",
    ),
    *_rows(
        "base",
        "key",
        {"basefs_package_manifest": "packages", "basefs_image_name": "the artifact's file name"},
    ),
    OldVariable("basefs_kernel_version", "base", "variable", "the base holds no kernel: modules come with the initrd"),
    *_rows(
        "base",
        "gone",
        {
            "basefs_exclude_packages": "a base holds what it asks for and what that needs, no more",
            "basefs_extra_drivers": "the initrd's modules become the system's; its `modules` name more of them",
            "basefs_extra_drivers_path": "the initrd's modules become the system's; its `modules` name more of them",
        },
    ),
    *_rows(
        "overlay",
        "key",
        {
            "overlayfs_archive_name": "the artifact's file name",
            "squashfs_image_path": "the artifact's file name of the base below",
            "*_package_manifest": "packages",
            "*_storcli_package": "debs",
            "*_perccli_package": "debs",
        },
    ),
)

SETTINGS = frozenset(row.name for row in TABLE if row.place == "tree" and row.fate == "same")
BUILD_ROOTS = frozenset(row.name for row in TABLE if row.name.endswith(("build_root", "build_env_root")))
"""Variables that a role may know its root by."""


def find(name: str) -> OldVariable | None:
    """The row that speaks of a variable; exact names come before patterns."""
    exact = next((row for row in TABLE if row.name == name), None)
    return exact or next((row for row in TABLE if "*" in row.name and fnmatchcase(name, row.name)), None)


def list_keys(kind: Kind, names: frozenset[str]) -> Mapping[str, str]:
    """Of `names`, the variables of an image of this kind whose items are items of a key of ours -> that key."""
    lists = ("packages", "include_packages", "include_binaries", "debs")
    rows = ((name, find(name)) for name in sorted(names))
    return {name: row.about for name, row in rows if row and row.place == kind and row.about in lists}

"""The tree's global variables: defaults, forms, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import SpecError
from imagebuilder.spec.settings import Settings, read_settings
from imagebuilder.spec.yamlfile import parse

FILE = Path("group_vars/on_imagebuild")
ROOT = Path("/trees/mine")


def _read(text: str, **extra: Any) -> Settings:
    document = parse(text, FILE)
    return read_settings(ROOT, document, {"playbook_dir": str(ROOT), **(document.value or {}), **extra})


def test_defaults() -> None:
    settings = _read("")
    assert settings.debootstrap_release == "bookworm"
    assert settings.apt_server is None
    assert settings.artifact_folder == Path("/trees/builds")


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("out", "/trees/mine/out"),
        ("../out", "/trees/out"),
        ("/srv/out", "/srv/out"),
        ("'{{ playbook_dir }}/../{{ where }}'", "/trees/there"),
    ],
)
def test_artifact_folder_is_relative_to_the_tree_wherever_the_user_stands(given: str, folder: str) -> None:
    assert _read(f"where: there\nbuild_artifact_path: {given}").artifact_folder == Path(folder)


@pytest.mark.parametrize(
    "server",
    ["cache", "cache.example.org", "192.168.1.1:3142", "cache:80", "https://mirror:8443", "[::1]:3142", "[fd00::2]"],
)
def test_apt_server_is_a_host_with_or_without_a_port(server: str) -> None:
    assert _read(f'apt_server: "{server}"').apt_server == server


@pytest.mark.parametrize("given", ["apt_server: ''", "apt_server:", "apt_server: '{{ none }}'"])
def test_empty_variable_is_no_variable(given: str) -> None:
    assert _read(f"none: ''\n{given}").apt_server is None


def test_extra_variables_win() -> None:
    assert _read("debootstrap_release: bookworm", debootstrap_release="trixie").debootstrap_release == "trixie"


@pytest.mark.parametrize("given", ["300m", "8G", "50%", "1073741824"])
def test_build_root_size_is_what_tmpfs_takes(given: str) -> None:
    assert _read(f"build_root_size: {given}").build_root_size == given


def test_snapshot_is_a_moment_or_none() -> None:
    assert _read("").snapshot is None
    assert _read("snapshot: 20260101T000000Z").snapshot == "20260101T000000Z"


def test_repository_lists_may_have_the_form_of_2015() -> None:
    text = """\
mirror: deb http://x/debian
repository_lists:
  - deb [signed-by=/k.gpg arch=amd64] http://x/debian bookworm main
  - {dest: /etc/apt/sources.list.d/u.list, line: "{{ mirror }} bookworm-updates main "}
  - deb http://x/flat ./
"""
    assert _read(text).repository_lists == (
        "deb [signed-by=/k.gpg arch=amd64] http://x/debian bookworm main",
        "deb http://x/debian bookworm-updates main",
        "deb http://x/flat ./",
    )


def test_variables_of_roles_are_no_error() -> None:
    assert _read("colour: red\ndebootstrap_arch: arm64").debootstrap_arch == "arm64"


WRONG: tuple[tuple[str, int, str], ...] = (
    ("a: 1\napt_server: http://x/debian", 2, "`apt_server`: `http://x/debian` is not a server; write HOST, HOST:PORT"),
    ("apt_server: [x]", 1, "is not a server"),
    ("apt_server: a b", 1, "`a b` is not a server"),
    ("debootstrap_release: Bookworm", 1, "`debootstrap_release`: `Bookworm` does not match"),
    ("debootstrap_release: 12", 1, "`debootstrap_release`: must be text"),
    (
        "a: 1\nsnapshot: 2026-01-01",
        2,
        "`snapshot`: `2026-01-01` is no moment of a snapshot; write it in UTC, `20260101T0",
    ),
    ("snapshot: 20260101", 1, "`20260101` is no moment"),
    ("snapshot: 20261301T000000Z", 1, "`20261301T000000Z` is no moment"),
    ("debootstrap_arch: x86_64", 1, "'amd64' or 'arm64'"),
    ("bootstrap: debootstrap", 1, "'native' or 'mmdebstrap'"),
    ("build_root_size: big", 1, "`build_root_size`: `big` does not match"),
    ("repository_lists: deb http://x y z", 1, "`repository_lists`: must be a list"),
    (
        "repository_lists:\n  - deb http://x y z\n  - http://x y z",
        3,
        "`http://x y z` is no package source; write `deb ",
    ),
    ("repository_lists:\n  - {dest: /x}", 2, "is no package source"),
    ("repository_lists:\n  - deb http://x", 2, "is no package source"),
    ("a: 1\nb: 2\nkernel_package: '{{ kernel }}'", 3, "'kernel' is undefined"),
)


@pytest.mark.parametrize(("text", "line", "message"), WRONG)
def test_wrong_setting_is_an_error_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        _read(text)
    assert caught.value.message.startswith(f"{FILE}:{line}: ")
    assert message in caught.value.message


def test_wrong_extra_variable_shows_its_value() -> None:
    with pytest.raises(SpecError, match="`debootstrap_release`: `TRIXIE` does not match"):
        _read("", debootstrap_release="TRIXIE")

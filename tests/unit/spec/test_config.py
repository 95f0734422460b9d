"""A config file's keys: each has one meaning, and a wrong one is named with its line and the nearest right one."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from imagebuilder.errors import SpecError
from imagebuilder.spec.config import (
    BaseKeys,
    FileRequest,
    ImageKeys,
    InitrdKeys,
    OverlayKeys,
    PackageRequest,
    read_keys,
)
from imagebuilder.spec.yamlfile import parse

FILE = Path("vars/x.yml")
MODELS: dict[str, type[ImageKeys]] = {"overlay": OverlayKeys, "base": BaseKeys, "initrd": InitrdKeys}


def _read(text: str, model: type[ImageKeys] = OverlayKeys) -> Any:
    document = parse(dedent(text), FILE)
    return read_keys(model, document.value["image"], document, "image")


def _error(text: str, model: type[ImageKeys] = OverlayKeys) -> SpecError:
    with pytest.raises(SpecError) as caught:
        _read(text, model)
    return caught.value


PACKAGES: tuple[tuple[str, str, str | None], ...] = (
    ("nvme-cli", "nvme-cli", None),
    ("g++", "g++", None),
    ("libc6:i386", "libc6:i386", None),
    ("vim-tiny=2:9.0.1378-2", "vim-tiny", "2:9.0.1378-2"),
    ("curl=7.88.1-10+deb12u12", "curl", "7.88.1-10+deb12u12"),
    ("curl=7.88*", "curl", "7.88*"),
    ("{package: less, version: 590-2}", "less", "590-2"),
    ("{package: less, version: 590}", "less", "590"),
    ("{package: less}", "less", None),
)


@pytest.mark.parametrize(("written", "package", "version"), PACKAGES)
def test_package_is_a_name_or_a_name_with_a_version(written: str, package: str, version: str | None) -> None:
    (request,) = _read(f"image:\n  packages:\n    - {written}\n").packages
    assert (request.package, request.version) == (package, version)


@pytest.mark.parametrize(
    "written",
    ["Curl", "a", "cu rl", "curl=", "curl=1 2", "curl;id", "-y", "curl:=1", "{package: Bad Name}", "{package: less=1}"],
)
def test_what_is_no_package_is_refused(written: str) -> None:
    error = _error(f"image:\n  packages:\n    - {written}\n")
    assert error.location.line == 3
    assert "`image.packages.0" in error.message


@pytest.mark.parametrize("request_", [PackageRequest(package="a+"), PackageRequest(package="a+", version="1:2~3")])
def test_package_prints_as_apt_takes_it(request_: PackageRequest) -> None:
    assert str(request_) == ("a+=1:2~3" if request_.version else "a+")


@pytest.mark.parametrize(
    ("image", "expected"), [("{}", ("base",)), ("{base: other}", ("other",)), ("{base: [a, b]}", ("a", "b"))]
)
def test_base_is_a_name_or_a_list(image: str, expected: tuple[str, ...]) -> None:
    assert _read(f"image: {image}").base == expected


FILES: tuple[tuple[str, FileRequest], ...] = (
    ("{dest: /a, content: 5}", FileRequest(dest="/a", content="5")),
    ("{dest: /a, content: ''}", FileRequest(dest="/a", content="")),
    ("{dest: /a, src: x, owner: 0, group: 42}", FileRequest(dest="/a", src="x", owner="0", group="42")),
    ("{dest: /a/, src: x}", FileRequest(dest="/a/", src="x")),
    ("{dest: /a, src: x, template: yes}", FileRequest(dest="/a", src="x", template=True)),
)


@pytest.mark.parametrize(("written", "expected"), FILES)
def test_file_reads_as_it_is_meant(written: str, expected: FileRequest) -> None:
    assert _read(f"image: {{files: [{written}]}}").files == (expected,)


@pytest.mark.parametrize(("written", "mode"), [("0644", 0o644), ("644", 0o644), ("4755", 0o4755), ("0000", 0)])
def test_mode_is_octal(written: str, mode: int) -> None:
    (file,) = _read(f"image: {{files: [{{dest: /a, src: x, mode: '{written}'}}]}}").files
    assert file.mode == mode


COMMANDS: tuple[tuple[str, str | tuple[str, ...]], ...] = (
    ("systemctl enable ssh", "systemctl enable ssh"),
    ("[sleep, 5]", ("sleep", "5")),
    ("[echo, '']", ("echo", "")),
)


@pytest.mark.parametrize(("written", "expected"), COMMANDS)
def test_command_is_a_text_or_a_list(written: str, expected: Any) -> None:
    assert _read(f"image:\n  run:\n    - {written}\n").run == (expected,)


WRONG: tuple[tuple[str, str, int, str], ...] = (
    ("overlay", "packges: [a]", 2, "unknown key `packges`; did you mean `packages`?"),
    ("overlay", "zzz: 1", 2, "unknown key `zzz`; the keys here are base, clean, debs, files, format"),
    ("initrd", "packages: [a]", 2, "unknown key `packages`; did you mean `include_packages`?"),
    ("overlay", "files:\n    - {dst: /a, src: x}", 3, "unknown key `dst`; did you mean `dest`?"),
    ("overlay", "requires: [{file: x, sorce: y}]", 2, "unknown key `sorce`; did you mean `source`?"),
    ("overlay", "packages: [{package: ab, verson: 1}]", 2, "unknown key `verson`; did you mean `version`?"),
    ("overlay", "files: [{src: x}]", 2, "`image.files.0.dest`: is missing"),
    ("overlay", "files: [x]", 2, "`image.files.0`: must be a mapping"),
    ("overlay", "files: [{dest: a, src: x}]", 2, "`image.files.0.dest`: `a` must begin with `/`"),
    ("overlay", "files: [{dest: /a/../b, src: x}]", 2, "`/a/../b` must not contain `..`"),
    ("overlay", "files: [{dest: /a}]", 2, "give either `src` or `content`"),
    ("overlay", "files: [{dest: /a, src: x, content: y}]", 2, "give either `src` or `content`"),
    ("overlay", "files: [{dest: /a/, content: y}]", 2, "`dest` must name a file"),
    ("overlay", "files: [{dest: /a, content: y, template: true}]", 2, "`template` goes with `src`"),
    ("overlay", "files: [{dest: /a, content: 1.10}]", 2, "`image.files.0.content`: must be text"),
    ("overlay", "files: [{dest: /a, content: yes}]", 2, "must be text; a number or yes/no is text in quotes"),
    ("overlay", "files: [{dest: /a, src: x, mode: 0644}]", 2, 'is not a file mode; write it in quotes: "0644"'),
    ("overlay", "files: [{dest: /a, src: x, mode: u=rw}]", 2, "`u=rw` is not a file mode"),
    ("overlay", "packages: less", 2, "`image.packages`: must be a list"),
    ("overlay", "packages: [{package: less, version: 1.10}]", 2, "`image.packages.0.version`: must be text"),
    ("overlay", "run: a b", 2, "`image.run`: must be a list"),
    ("overlay", "run: ['']", 2, "`image.run.0`: write a command as text"),
    ("overlay", "run: [[]]", 2, "`image.run.0`: write a command as text"),
    ("overlay", "run: [['', a]]", 2, "`image.run.0`: write a command as text"),
    ("overlay", "run: [5]", 2, "`image.run.0`: write a command as text"),
    ("overlay", "run: [[a, 1.5]]", 2, "`image.run.0`: write a command as text"),
    ("overlay", "clean: [usr/share/doc]", 2, "`usr/share/doc` must begin with `/`"),
    ("overlay", "clean: [/usr/../etc]", 2, "must not contain `..`"),
    ("overlay", "clean: [/]", 2, "`image.clean.0`"),
    ("base", "exclude: ['!usr']", 2, "`!usr` must begin with `/`"),
    ("overlay", "strict_portable: true\n  format: squashfs", 1, "`image`: only `cpio.gz` is portable"),
    ("overlay", "format: tar", 2, "`image.format`: input should be 'cpio.gz', 'cpio.zst' or 'squashfs'"),
    ("initrd", "firmware: 'no'", 2, "`image.firmware`: must be true or false"),
    ("overlay", "name: a/b", 2, "`image.name`: `a/b` does not match"),
    ("overlay", "base: []", 2, "`image.base`"),
)


@pytest.mark.parametrize(("kind", "keys", "line", "message"), WRONG)
def test_wrong_key_is_named_with_its_line(kind: str, keys: str, line: int, message: str) -> None:
    error = _error(f"image:\n  {keys}\n", MODELS[kind])
    assert error.location.line == line
    assert message in error.message
    assert error.exit_code == 2


def test_all_problems_come_in_one_message_in_the_order_of_the_file() -> None:
    error = _error(
        """\
        image:
          format: tar
          run: x
          packges: [a]
          files:
            - {dest: /a, src: x}
            - {dest: b, src: x}
        """
    )
    lines = error.message.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"vars/x.yml:{n}" for n in (2, 3, 4, 7)]


def test_each_problem_is_told_once() -> None:
    assert "\n" not in _error("image: {run: [{a: b}]}").message

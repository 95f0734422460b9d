"""The reference says what the program knows: no key, argument or error more, none less."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

import imagebuilder
from imagebuilder.resolve.lock import Lock, LockedImage
from imagebuilder.resolve.resolution import ImagePackages
from imagebuilder.spec.config import (
    BaseKeys,
    FileRequest,
    ImageKeys,
    InitrdKeys,
    OverlayKeys,
    PackageRequest,
    Requirement,
)
from imagebuilder.spec.legacy.variables import TABLE
from imagebuilder.spec.settings import Settings

DOCS = Path(__file__).parents[3] / "docs"
INITRD = Path(imagebuilder.__file__).parent / "node/initrd"
KINDS: dict[str, type[ImageKeys]] = {"initrd": InitrdKeys, "base": BaseKeys, "overlay": OverlayKeys}


def _table(name: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading, each cell without backticks."""
    text = (DOCS / "reference" / name).read_text()
    section = re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def _bare(cell: str) -> str:
    return cell.strip("`")


def _default(model: type[BaseModel], key: str) -> str:
    """A key's default as the reference writes it."""
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    match field.default:
        case ():
            return "none"
        case bool(value):
            return str(value).lower()
        case (value,) | str(value):
            return f"`{value}`"
        case _:
            return ""


def test_every_key_of_image_is_described_once_with_the_kinds_that_have_it() -> None:
    described = {_bare(row[0]): row[1] for row in _table("tree.md", "Keys of `image:`")}
    having = {key: [kind for kind, model in KINDS.items() if key in model.model_fields] for key in described}
    assert described == {key: "all" if len(kinds) == len(KINDS) else ", ".join(kinds) for key, kinds in having.items()}
    assert described.keys() == {key for model in KINDS.values() for key in model.model_fields}


def test_defaults_of_image_keys_are_those_of_the_program() -> None:
    for key, kind, _, default, _ in _table("tree.md", "Keys of `image:`"):
        model = KINDS[kind.split(", ")[0]] if kind != "all" else ImageKeys
        if expected := _default(model, _bare(key)):
            assert default == expected, key


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Packages", PackageRequest),
        ("Files", FileRequest),
        ("Requirements", Requirement),
        ("group_vars/on_imagebuild", Settings),
    ],
)
def test_table_has_the_keys_and_defaults_of_its_model(heading: str, model: type[BaseModel]) -> None:
    rows = _table("tree.md", heading)
    assert sorted(_bare(row[0]) for row in rows) == sorted(model.model_fields)
    for key, _, default, _ in rows:
        if expected := _default(model, _bare(key)):
            assert default == expected, key


def test_choices_are_those_of_the_program() -> None:
    types = {_bare(row[0]): row[2] for row in _table("tree.md", "Keys of `image:`")}
    for key, model in (("format", OverlayKeys), ("profile", InitrdKeys)):
        choices = typing.get_args(model.model_fields[key].annotation)
        assert types[key] == ", ".join(f"`{choice}`" for choice in choices)


def test_old_names_are_all_listed_as_the_program_knows_them() -> None:
    rows = [[cell.replace("`", "") for cell in row] for row in _table("names-of-2015.md", "Variables")]
    assert rows == [[row.name, row.place, row.fate, row.about.replace("`", "")] for row in TABLE]


def test_keys_of_a_lock_are_those_that_it_has() -> None:
    keys = {_bare(row[0]) for row in _table("lock.md", "imagebuilder.lock")}
    assert keys == {field.name for field in dataclasses.fields(Lock)} | {"format"}
    keys = {_bare(row[0]) for row in _table("lock.md", "An image")}
    packages = {field.name for field in dataclasses.fields(ImagePackages)}
    assert keys == {field.name for field in dataclasses.fields(LockedImage)} - {"packages"} | packages


def test_kernel_arguments_are_those_that_the_initrd_reads() -> None:
    described = {_bare(row[0]) for row in _table("kernel-arguments.md", "Kernel arguments")}
    arguments = next(INITRD.rglob("arguments.sh")).read_text()
    assert described == set(re.findall(r"^ *([A-Za-z_.]+=)\*\)", arguments, re.MULTILINE))


def test_errors_of_a_node_are_those_that_the_initrd_knows() -> None:
    described = [_bare(row[0]) for row in _table("node-errors.md", "Errors of a booting node")]
    scripts = "".join(path.read_text() for path in INITRD.rglob("*") if path.is_file())
    assert sorted(described) == sorted(set(re.findall(r"(?:\bfail |\bproblem_code=)(NB-[A-Z-]+)", scripts)))


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document}: {link}"

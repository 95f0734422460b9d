"""`imagebuilder build` on trees that are wrong: exit 2, the place, the way out, and nothing built."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image_tree import OVERLAY, write_tree
from imagebuilder.cli.build import add_parser, extra_variables
from imagebuilder.cli.main import main
from imagebuilder.errors import UserError

ROLE = "roles/overlay/provision_x"
RIGHT = {"all.yml": OVERLAY, "vars/x.yml": "image: {packages: [less]}", f"{ROLE}/tasks/main.yml": "[]"}

BAD: tuple[tuple[str, dict[str, str], list[str], str, str], ...] = (
    (
        "YAML that does not parse",
        {"vars/x.yml": "image:\n  packages: [less\n"},
        [],
        "{tree}/vars/x.yml:3: not valid YAML: ",
        "",
    ),
    (
        "a template without quotes",
        {"vars/x.yml": "image:\n  name: {{ site }}\n"},
        [],
        "{tree}/vars/x.yml:2: not valid YAML: a key must be plain text",
        '"{{ name }}"',
    ),
    (
        "a key given twice",
        {"vars/x.yml": "image:\n  run: [a]\n  run: [b]\n"},
        [],
        "{tree}/vars/x.yml:3: the key `run` is given twice",
        "",
    ),
    (
        "an unknown key",
        {"vars/x.yml": "image:\n  packges: [less]\n"},
        [],
        "{tree}/vars/x.yml:2: unknown key `packges`; did you mean `packages`?",
        "",
    ),
    (
        "a role that is not there",
        {"vars/x.yml": "\nprovisioner: roles/overlay/provision_y\n"},
        [],
        "{tree}/vars/x.yml:2: the provisioner `roles/overlay/provision_y` is not a role here",
        f"did you mean `{ROLE}`?",
    ),
    (
        "a config file that is not there",
        {"all.yml": f"\n{OVERLAY.replace('x.yml', 'y.yml')}"},
        [],
        "{tree}/all.yml:2: the config file `vars/y.yml` does not exist",
        "did you mean `vars/x.yml`?",
    ),
    (
        "an undefined variable",
        {"vars/x.yml": "image:\n  run:\n    - a\n    - echo {{ nothing }}\n"},
        [],
        "{tree}/vars/x.yml:4: `echo {{ nothing }}` cannot be rendered: 'nothing' is undefined",
        "group_vars/on_imagebuild",
    ),
    (
        "an undefined variable of the tree",
        {"group_vars/on_imagebuild": "\nbuild_artifact_path: '{{ there }}'\n"},
        [],
        "{tree}/group_vars/on_imagebuild:2: `{{ there }}` cannot be rendered: 'there' is undefined",
        "-e",
    ),
    (
        "two images of one name",
        {"all.yml": OVERLAY + OVERLAY},
        [],
        "{tree}/all.yml:3: the name `x` is taken by {tree}/vars/x.yml ({tree}/all.yml:1)",
        "another `name:`",
    ),
    (
        "an overlay on itself",
        {"vars/x.yml": "image:\n  base: x\n"},
        [],
        "{tree}/vars/x.yml:2: `x` is built on itself",
        "",
    ),
    (
        "a vendor's file that is not there",
        {"vars/x.yml": "image:\n  requires:\n    - {file: files/x.deb, source: 'Vendor, https://v'}\n"},
        [],
        "{tree}/vars/x.yml:3: the file `files/x.deb` is missing",
        "get it from its vendor (Vendor, https://v) and put it at {tree}/files/x.deb",
    ),
    (
        "a playbook that is not there",
        {},
        ["{tree}/none.yml"],
        "{tree}/none.yml: this file does not exist",
        "",
    ),
    (
        "a playbook that names no image",
        {"all.yml": "- hosts: all\n"},
        [],
        "{tree}/all.yml:1: this entry imports no playbook",
        "common/overlay_wrapper.yml",
    ),
    (
        "a wrong variable on the command line",
        {},
        ["{tree}", "-e", "debootstrap_arch=x86_64"],
        "`debootstrap_arch`: input should be 'amd64' or 'arm64'",
        "",
    ),
    (
        "a variable without a value",
        {},
        ["{tree}", "-e", "apt_server"],
        "`-e apt_server` is not understood",
        "-e key=value",
    ),
    (
        "a kind without a config file",
        {},
        ["--kind", "overlay"],
        "one image is built by",
        "--config-file vars/discovery.yml",
    ),
    (
        "a config file without a kind",
        {},
        ["--tree", "{tree}", "--config-file", "vars/x.yml"],
        "one image is built by `--kind` and `--config-file`",
        "--kind overlay",
    ),
    (
        "a config file that is not there, as the wrapper playbooks name it",
        {},
        ["--tree", "{tree}", "--kind", "overlay", "--config-file", "vars/y.yml"],
        "the config file `vars/y.yml` does not exist",
        "did you mean `vars/x.yml`?",
    ),
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A right tree, which a case makes wrong; afterwards nothing must be mounted and nothing built."""
    mounts = Path("/proc/self/mounts").read_text()
    write_tree(tmp_path / "tree", RIGHT)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "tree"
    assert Path("/proc/self/mounts").read_text() == mounts
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize(("name", "files", "arguments", "message", "hint"), BAD, ids=[name for name, *_ in BAD])
def test_bad_input_is_an_error_with_its_place_and_the_way_out(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    name: str,
    files: dict[str, str],
    arguments: list[str],
    message: str,
    hint: str,
) -> None:
    write_tree(tree, files)
    status = main(["build", *(text.replace("{tree}", str(tree)) for text in arguments or ["{tree}"])])
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith("error: ")
    assert message.replace("{tree}", str(tree)) in lines[0]
    assert hint.replace("{tree}", str(tree)) in (lines[1] if hint else "")


def test_folder_without_a_playbook_says_how_to_begin(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "vars")
    assert main(["build"]) == 2
    assert "hint: name one, or run `imagebuilder init DIR`" in capsys.readouterr().err


def test_source_date_epoch_is_a_number(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    monkeypatch.setattr("imagebuilder.host.namespace.become_root", lambda verb: None)
    monkeypatch.setattr("imagebuilder.host.tools.require", lambda tools: None)
    assert main(["build", str(tree)]) == 2
    assert "`SOURCE_DATE_EPOCH=yesterday` is not a number of seconds" in capsys.readouterr().err


EXTRA: tuple[tuple[list[str], dict[str, Any]], ...] = (
    ([], {}),
    (["a=1"], {"a": "1"}),
    (["a=1 b=2"], {"a": "1", "b": "2"}),
    (["a='two words' b="], {"a": "two words", "b": ""}),
    (["url=http://x/?a=b"], {"url": "http://x/?a=b"}),
    (['{"a": 1, "b": ["x"]}'], {"a": 1, "b": ["x"]}),
    (["@more.yml"], {"a": 1, "b": [True]}),
    (["a=1", '{"a": 2}', "a=3"], {"a": "3"}),
)


@pytest.mark.parametrize(("given", "expected"), EXTRA)
def test_extra_variables_are_read_as_ansible_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], expected: dict[str, Any]
) -> None:
    (tmp_path / "more.yml").write_text("a: 1\nb: [yes]\n")
    monkeypatch.chdir(tmp_path)
    assert extra_variables(given) == expected


@pytest.mark.parametrize("given", ["", "a", "=1", "a=1 b", "a='1", '{"a"', "@none.yml", "@list.yml"])
def test_extra_variable_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    (tmp_path / "list.yml").write_text("[a]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        extra_variables([given])


def test_number_of_jobs_has_a_default() -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    assert parser.parse_args(["build"]).jobs >= 1

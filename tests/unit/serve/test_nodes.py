"""nodes.yml: who gets what, what is wrong at which line, and a program's changes to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.errors import SpecError, UserError
from imagebuilder.serve.assign import assigned
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.nodes import Nodes, for_all, parse_nodes
from imagebuilder.serve.roster import Roster

PATH = Path("nodes.yml")
MAC = "52:54:00:12:34:56"
FILE = f"""\
# our rack
profiles:
  inventory: {{image: "discovery:stable", arguments: console=ttyS0}}
  storage: {{image: raid}}   # disks
  erase: {{image: "erase@sha256:{"0" * 64}"}}
nodes:
  # row one
  - {{mac: 01-52-54-00-12-34-56, name: r1n7, profile: storage, arguments: quiet}}
  - serial: CN7016
    profile: erase   # for ever
  - {{vendor: "Dell*", model: "PowerEdge R7*", profile: erase}}
  - {{vendor: "Dell*", profile: storage}}
default: inventory
"""


def given(text: str, identity: Identity) -> tuple[str, str] | None:
    assignment = parse_nodes(text, PATH).assignment(identity)
    return (assignment.profile.image, assignment.arguments) if assignment else None


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (Identity(mac=MAC), ("raid:latest", "quiet")),
        (Identity(mac=MAC, vendor="Dell Inc.", model="PowerEdge R740"), ("raid:latest", "quiet")),
        (Identity(serial="CN7016"), (f"erase@sha256:{'0' * 64}", "")),
        (Identity(vendor="Dell Inc.", model="PowerEdge R740"), (f"erase@sha256:{'0' * 64}", "")),
        (Identity(vendor="Dell Inc.", model="OptiPlex"), ("raid:latest", "")),
        (Identity(vendor="HPE", model="PowerEdge R740"), ("discovery:stable", "console=ttyS0")),
        (Identity(), ("discovery:stable", "console=ttyS0")),
    ],
    ids=str,
)
def test_first_entry_that_fits_counts_and_the_default_is_for_all_others(
    identity: Identity, expected: tuple[str, str]
) -> None:
    assert given(FILE, identity) == expected


def test_without_a_default_a_machine_that_nobody_knows_gets_nothing() -> None:
    assert given(FILE.replace("default: inventory", ""), Identity(mac="52:54:00:00:00:01")) is None


def test_one_image_for_all_needs_no_file() -> None:
    assignment = for_all("discovery:latest", "quiet").assignment(Identity())
    assert assignment
    assert (assignment.profile.image, assignment.arguments) == ("discovery:latest", "quiet")
    assert for_all("", "").assignment(Identity()) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image: raid}", "imag: raid}", "nodes.yml:4: unknown key `imag`; did you mean `image`?"),
        ("image: raid}", "image: ra id}", "nodes.yml:4: `profiles.storage.image`: `ra id` is no name of a manifest"),
        ("arguments: quiet", 'arguments: "a && b"', "nodes.yml:8: `nodes.0.arguments`: iPXE would read `&&`"),
        ("01-52-54-00-12-34-56", MAC, "nodes.yml:8: `nodes.0.mac`: write an address in quotes"),
        ("01-52-54-00-12-34-56", "52-54", "nodes.yml:8: `nodes.0.mac`: `52-54` is no MAC address"),
        ("name: r1n7, profile: storage", "profile: storge", "nodes.yml:8: there is no profile `storge`"),
        ("profile: erase   #", "#", "nodes.yml:9: `nodes.1.profile`: is missing"),
        ("serial: CN7016", "name: x", "nodes.yml:9: this fits every machine"),
        (
            'vendor: "Dell*", profile',
            "serial: CN7016, profile",
            "nodes.yml:12: an entry for the same machine is also in line 9",
        ),
        (
            "serial: CN7016",
            "{serial: a, name: r1n7, profile: erase}\n  - serial: b",
            "the name `r1n7` is also in line 8",
        ),
        ("default: inventory", "default: none", "nodes.yml:13: there is no profile `none`"),
        ("default: inventory", "defualt: inventory", "nodes.yml:13: unknown key `defualt`; did you mean `default`?"),
        ("profiles:", "profile:", "unknown key `profile`"),
        ("# our rack", "- x: [", "not valid YAML"),
    ],
)
def test_error_points_at_its_line(old: str, new: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(SpecError) as caught:
        parse_nodes(FILE.replace(old, new, 1), PATH)
    assert message in caught.value.message


def test_change_of_an_entry_leaves_all_else_as_it_was() -> None:
    assert assigned(FILE, PATH, {"mac": MAC}, "erase") == FILE.replace("r1n7, profile: storage", "r1n7, profile: erase")
    assert assigned(FILE, PATH, {"serial": "CN7016"}, "storage") == FILE.replace("erase   #", "storage   #")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nodes:\n", 'nodes:\n  - {mac: "52:54:00:00:00:01", profile: erase}\n'),
        ("nodes:\n", 'nodes: # all\n- {mac: "52:54:00:00:00:01", profile: erase}\n'),
    ],
)
def test_new_entry_comes_first_in_the_files_own_indentation(old: str, new: str) -> None:
    head, first = new.split("\n", 1)
    before = FILE.replace(old, head + "\n")
    if not first.startswith(" "):
        before = before.replace("\n  - ", "\n- ").replace("\n    profile", "\n  profile").replace("\n  #", "\n#")
    assert assigned(before, PATH, {"mac": "52:54:00:00:00:01"}, "erase") == before.replace(head + "\n", new)


@pytest.mark.parametrize("nodes", ["", "nodes: []\n", "nodes:\n", "nodes: [] # none\n"])
def test_first_entry_of_all_finds_its_place(nodes: str) -> None:
    text = assigned(f"profiles: {{a: {{image: x}}}}\n{nodes}", PATH, {"serial": 'a"b'}, "a")
    (entry,) = parse_nodes(text, PATH).entries
    assert (dict(entry.wants), entry.profile) == ({"serial": 'a"b'}, "a")


def test_file_that_no_program_should_change_is_left_alone() -> None:
    profiles = "profiles: {a: {image: x}, b: {image: y}}\n"
    text = f'{profiles}nodes: [{{profile: a, serial: c}}, {{mac: "{MAC}", profile: a}}]\n'
    with pytest.raises(UserError, match="is not written so that a program could change it"):
        assigned(text, PATH, {"mac": MAC}, "b")


def test_profile_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="has no profile `x`"):
        assigned(FILE, PATH, {"mac": MAC}, "x")


def test_file_is_followed_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    path, said = tmp_path / "nodes.yml", list[str]()
    path.write_text(FILE)
    roster = Roster(path, said.append)
    good = roster.nodes
    path.write_text(FILE.replace("image: raid", "image: [raid]"))
    assert roster.nodes is good
    assert roster.nodes is good
    assert roster.problem.startswith(f"{path}:4: ")
    assert len(said) == 1
    path.unlink()
    assert roster.nodes is good
    path.write_text(FILE.replace("default: inventory", "default: storage"))
    assert roster.nodes.default == "storage"
    assert roster.problem == ""


def test_wrong_file_is_refused_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        Roster(tmp_path / "none.yml", print)
    assert Roster(Nodes(), print).nodes == Nodes()


def test_entry_is_found_as_the_file_has_it() -> None:
    text = """\
profiles: {all: {image: x}}
nodes:
  - {mac: "52:54:00:00:00:01", vendor: Acme, profile: all}
  - {vendor: A*, profile: all}
  - {serial: S7, profile: all}
  - {mac: "52:54:00:00:00:01", profile: all}
"""
    nodes = parse_nodes(text, PATH)
    for mac in ("", "52:54:00:00:00:01", "52:54:00:00:00:02"):
        for serial in ("", "S7"):
            for vendor in ("", "Acme", "Other"):
                machine = Identity(mac=mac, serial=serial, vendor=vendor)
                first = next((entry for entry in nodes.entries if entry.fits(machine)), None)
                assert nodes.entry_of(machine) == first, machine

"""Files of nodes.yml rendered for one node: types, errors with their place, the same bytes, masked secrets."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.digest import of_bytes
from imagebuilder.errors import SpecError, UserError
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.nodelayer.difference import difference
from imagebuilder.serve.nodelayer.layer import NodeLayer, shown_of_text, shown_to_text
from imagebuilder.serve.nodelayer.templates import MASK
from imagebuilder.serve.nodelayer.variables import TYPES
from imagebuilder.serve.nodes import parse_nodes, refuse_secrets
from imagebuilder.steps import cpio
from layers import layer as tree
from layers import write_base

MAC = "52:54:00:12:34:56"
NODE = Identity(mac=MAC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ2 ops"
FILE = f"""\
variables:
  hostname: hostname
  address: interface
  keys: [key]
  password: secret
profiles:
  plain:
    image: discovery
    files:
      - {{dest: /etc/hostname, content: "{{{{ hostname }}}} {{{{ node.mac }}}}\\n"}}
      - {{dest: /etc/ssh/keys/ops, src: nodes/keys.j2, mode: "0640", owner: 1000, group: root}}
  secret:
    image: discovery
    files:
      - {{dest: /root/bmc, content: "{{{{ password }}}}={{{{ password | length }}}}", mode: "0600"}}
    variables: {{password: hush}}
nodes:
  - mac: "{MAC}"
    name: r1n7
    profile: plain
    variables: {{hostname: r1n7, address: 192.0.2.7/24, keys: ["{KEY}"]}}
default: secret
"""
TEMPLATE = "# {{ node.name }}\n{% for key in keys %}\n  {{ key }}\n{% endfor %}\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("nodes").mkdir()
    Path("nodes/keys.j2").write_text(TEMPLATE)
    return Path("nodes.yml")


def rendered(text: str, path: Path, identity: Identity = NODE) -> NodeLayer:
    assignment = parse_nodes(text, path).assignment(identity)
    assert assignment
    layer = assignment.layer(identity)
    assert layer
    return layer


def test_layer_is_an_archive_of_the_nodes_own_files(path: Path) -> None:
    with gzip.open(io.BytesIO(rendered(FILE, path).data)) as archive:
        found = {
            member.name.decode(): (f"{member.mode:o}", member.uid, content.read().decode())
            for member, content in cpio.read(archive)  # type: ignore[arg-type]
        }
    assert found == {
        ".": ("40755", 0, ""),
        "etc": ("40755", 0, ""),
        "etc/hostname": ("100644", 0, f"r1n7 {MAC}\n"),
        "etc/ssh": ("40755", 0, ""),
        "etc/ssh/keys": ("40755", 0, ""),
        "etc/ssh/keys/ops": ("100640", 1000, f"# r1n7\n  {KEY}\n"),
    }


def test_same_inputs_give_the_same_digest_and_others_another(path: Path) -> None:
    first = rendered(FILE, path)
    assert rendered(FILE.replace("profiles:", "# a comment\nprofiles:"), path).sha256 == first.sha256
    # Known beforehand, but for what zlib makes of it: so it is the same on every machine, on every day.
    assert of_bytes(gzip.decompress(first.data)) == "0492d7bcb8df91e2fc780a39bb457cd4d0248dbae39f10a217c839de6ac3b845"
    for old, new in (("hostname: r1n7", "hostname: r1n8"), ('"0640"', '"0644"'), ("owner: 1000", "owner: 1001")):
        assert rendered(FILE.replace(old, new), path).sha256 != first.sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hostname: hostname", "hostname: hostnam", "nodes.yml:2: `hostname` has the type `hostnam`, which is none"),
        ("keys: [key]", "node: text", "nodes.yml:4: a variable cannot be called `node`"),
        ("hostname: r1n7", "hostname: r1_n7", "nodes.yml:21: `hostname`: `r1_n7` is no name of a host"),
        ("192.0.2.7/24", "192.0.2.7", "nodes.yml:21: `address`: `192.0.2.7` is no address with the length"),
        ("192.0.2.7/24", "192.0.2.700/24", "nodes.yml:21: `address`: `192.0.2.700/24` is no address with a prefix"),
        ("ssh-ed25519 AAAAC3", "ssh-ed25519 AAAAC4", "nodes.yml:21: `keys`: `ssh-ed25519 AAAAC4"),
        (f'keys: ["{KEY}"]', "keys: x", "nodes.yml:21: `keys`: must be a list"),
        ("password: hush", "password: yes", "nodes.yml:16: `password`: what is given is no text"),
        ("hostname: r1n7", "hostnme: r1n7", "nodes.yml:21: `variables:` at the top does not say of what type"),
        ("{{ hostname }}", "{{ hostnme }}", "nodes.yml:10: `variables:` of nodes.yml has no `hostnme`"),
        ("{{ hostname }}", "{{ hostname", "nodes.yml:10: this is no template: "),
        ("/etc/hostname", "etc/hostname", "nodes.yml:10: `profiles.plain.files.0.dest`: `etc/hostname` must begin"),
        ("/etc/hostname", "/bin/x", "nodes.yml:10: `profiles.plain.files.0.dest`: `/bin` is a link in an image"),
        ("/etc/hostname", "/run/x", "nodes.yml:10: `profiles.plain.files.0.dest`: `/run` is nothing that an image has"),
        ("/etc/hostname", "/etc//x", "nodes.yml:10: `profiles.plain.files.0.dest`: `/etc//x` is no path of a file"),
        ("/etc/hostname", "/etc/ssh/keys/ops", "nodes.yml:11: `/etc/ssh/keys/ops` is there twice"),
        ("/etc/hostname", "/etc/ssh/keys", "nodes.yml:11: `/etc/ssh/keys/ops` cannot lie in `/etc/ssh/keys`"),
        ('"0640"', '"4640"', "nodes.yml:11: `profiles.plain.files.1.mode`: "),
        ("owner: 1000", "owner: ops", "nodes.yml:11: `profiles.plain.files.1.owner`: `ops` is not known here"),
        ("nodes/keys.j2", "nodes/kezs.j2", "nodes.yml:11: there is no template `nodes/kezs.j2`"),
        ("nodes/keys.j2", "../keys.j2", "nodes.yml:11: `../keys.j2` must lie beside nodes.yml"),
        ("src: nodes/keys.j2, ", "", "nodes.yml:11: give either `src` or `content`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_nodes(FILE.replace(old, new, 1) if old in FILE else "", path)
    assert error.value.message.startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{{ nobody }}", "nodes/keys.j2:2: `variables:` of nodes.yml has no `nobody`"),
        ("{% if %}", "nodes/keys.j2:2: this is no template: "),
        ("{{ 1 // 0 }}", "nodes/keys.j2:2: cannot be rendered for r1n7: "),
        ("{{ password }}", "nodes/keys.j2:2: cannot be rendered for r1n7: 'password' is undefined"),
        ("{{ keys.append(1) }}", "nodes/keys.j2:2: cannot be rendered for r1n7: "),
        ("{{ keys.__class__.__mro__ }}", "nodes/keys.j2:2: cannot be rendered for r1n7: "),
        ("{{ keys | random }}", "nodes/keys.j2:2: this is no template: No filter named 'random'"),
        ("{% include 'nodes.yml' %}", "nodes/keys.j2:2: cannot be rendered for r1n7: "),
    ],
)
def test_what_a_template_cannot_do_is_said_with_its_line(path: Path, line: str, message: str) -> None:
    Path("nodes/keys.j2").write_text(f"# one\n{line}\n")
    with pytest.raises(SpecError) as error:
        rendered(FILE, path)
    assert error.value.message.startswith(message)


VALUES = {
    "text": ("two\nlines", "true"),
    "number": ("7", "'7'"),
    "flag": ("true", "1"),
    "hostname": ("a-1.example.org", "a..b"),
    "address": ("2001:db8::7", "192.0.2.0/24"),
    "interface": ("2001:db8::7/64", "2001:db8::7"),
    "network": ("192.0.2.0/24", "192.0.2.7/24"),
    "mac": ('"52-54-00-12-34-56"', "52:54"),
    "key": (f'"{KEY}"', '"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGJ2"'),
    "secret": ("hush", "[hush]"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_takes_what_is_of_it_and_nothing_else(kind: str) -> None:
    good, bad = VALUES[kind]
    profile = "profiles: {a: {image: x, variables: {v: %s}}}\n"
    text = f"variables: {{v: {kind}}}\n{profile}"
    assert parse_nodes(text % (good if kind != "text" else '"two\\nlines"'), Path("nodes.yml")).profiles["a"].values
    with pytest.raises(SpecError, match=r"^nodes.yml:2: `v`: "):
        parse_nodes(text % bad, Path("nodes.yml"))


def test_secret_is_in_the_layer_and_nowhere_that_is_shown(path: Path) -> None:
    layer = rendered(FILE, path, Identity())
    assert layer.is_secret
    assert b"hush=4" in gzip.decompress(layer.data)
    assert [file.content for file in layer.files] == [f"{MASK}={len(MASK)}"]
    assert "hush" not in shown_to_text(layer.files)
    assert shown_of_text(shown_to_text(layer.files)) == layer.files


def test_fault_in_a_file_with_secrets_does_not_tell_them(path: Path) -> None:
    with pytest.raises(SpecError) as error:
        rendered(FILE.replace("password | length", "password | int // 0"), path, Identity())
    assert error.value.message == "nodes.yml:15: cannot be rendered for this node: what went wrong may show its secrets"


def test_server_without_https_refuses_a_file_with_secrets(path: Path) -> None:
    with pytest.raises(SpecError, match=r"^nodes.yml:15: `/root/bmc` has the secret `password`, and secrets go over"):
        refuse_secrets(parse_nodes(FILE, path))
    refuse_secrets(parse_nodes(FILE.replace("{{ password }}={{ password | length }}", "none"), path))


def test_difference_has_what_changed_with_mode_and_owner(path: Path) -> None:
    old, new = rendered(FILE, path), rendered(FILE.replace("owner: 1000", "owner: 0").replace("e: r1n7", "e: r1"), path)
    assert list(difference(old.files, old.files)) == []
    lines = list(difference(old.files, new.files))
    assert [line for line in lines if line[0] in "-+" and line[:3] not in ("---", "+++")] == [
        f"-r1n7 {MAC}", f"+r1 {MAC}", "-/etc/ssh/keys/ops  0640  1000:0", "-# r1n7",
        "+/etc/ssh/keys/ops  0640  0:0", "+# r1",
    ]  # fmt: skip


def test_layer_that_an_initrd_would_not_take_is_refused(path: Path) -> None:
    Path("nodes/keys.j2").write_text(random.Random(1).randbytes(1_100_000).hex())
    with pytest.raises(UserError, match="over 1048576"):
        rendered(FILE, path)


def test_verbs_read_it_like_every_overlay(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(FILE)
    write_base(Path("base.img"), tree({"/etc/hostname": "base"}))
    assert main(["node", "render", "r1n7", "--output", "own.gz", "--cache", "cache"]) == 0
    assert main(["inspect", "own.gz", "--base", "base.img", "--store", "store"]) == 0
    assert main(["whence", "/etc/hostname", "--overlay", "base.img", "own.gz", "--cache", "cache"]) == 0
    assert main(["check", "own.gz", "--base", "base.img", "--made-on", "base.img", "--store", "store"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  ~ /etc/hostname" in lines
    assert [line.split()[0] for line in lines if " file " in line] == ["own.gz:", "base.img:"]
    assert lines[-1].split() == ["own.gz", "fits"]

"""A node's own layer on a node: from `imagebuilder serve` onto the stack, and what is refused of one."""

from __future__ import annotations

import re
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from certificates import make_certificates
from hostile import hostile
from imagebuilder.digest import of_bytes
from imagebuilder.steps.cpio import Member, Source
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import EMPTY, Layer
from imagebuilder.store.referrers import attach
from imagebuilder.store.signing import SIGNATURE_TYPE
from initrd_jail import BASE_NAME, FAILED, Image, Jail, make_jail, overlay_of, trust
from serving import MAC, BootServer, boot_server

pytestmark = pytest.mark.root

MANIFEST = "/discovery.manifest.json"
NODES = f"""\
variables: {{hostname: hostname}}
profiles:
  all:
    image: discovery
    files:
      - {{dest: /etc/hostname, content: "{{{{ hostname }}}}\\n"}}
      - {{dest: /etc/overlay, content: "not the overlay's\\n", mode: "0600", owner: 7, group: 8}}
nodes:
  - {{mac: "{MAC}", name: r1n7, profile: all, variables: {{hostname: r1n7}}}}
"""
LOOK = "cd /newroot/etc && cat hostname overlay base && stat -c '%a %u:%g %n' overlay hostname"


@pytest.fixture(scope="module")
def accepting(initrd_image: Image) -> Image:
    """The small image, whose manifest takes a node's own layer."""
    manifest = replace(initrd_image.manifest, node_layer=True)
    return Image(Image(initrd_image.files, manifest).signed(), manifest)


def _file(name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x\n") -> Source:
    size = len(content) if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else 0
    return Source(Member(name.encode(), mode, size=size), content if size else b"")


def _folder(name: str) -> Source:
    return _file(name, stat.S_IFDIR | 0o755)


def _served(image: Image, layer: bytes) -> tuple[dict[str, bytes], str]:
    """The files of a server that has a layer, and the argument that names it."""
    path = f"/layer/{of_bytes(layer)}"
    return {**image.files, path: layer}, f"nb.layer={path} nb.token=abc"


def _store(folder: Path, image: Image) -> Layout:
    """A store that has the image, as `discovery:latest`, and its signature."""
    layout = Layout(folder / "store")
    layout.prepare()
    layout.put(EMPTY)
    for data in (b"kernel", b"initrd", *image.files.values()):
        layout.put(data)
    manifest = layout.put(image.manifest.to_bytes())
    change_index(layout, lambda index: index.moved("discovery:latest", manifest))
    signature = layout.put(image.files[f"{MANIFEST}.minisig"])
    attach(layout, manifest, SIGNATURE_TYPE, [Layer(SIGNATURE_TYPE, "discovery.manifest.json.minisig", signature)])
    return layout


def _arguments(server: BootServer) -> str:
    """The kernel arguments of the node's boot script."""
    script = server.get(f"/boot.ipxe?mac={MAC}").body.decode()
    arguments = re.search(r"initrd=initrd (.*)", script)
    assert arguments, script
    return arguments[1]


def test_node_gets_its_own_files_from_the_boot_server(tmp_path: Path, initrd_jail: Jail, accepting: Image) -> None:
    layout = _store(tmp_path, accepting)
    (tmp_path / "nodes.yml").write_text(NODES)
    with boot_server(layout.root, "--nodes", tmp_path / "nodes.yml") as server:
        arguments = _arguments(server)
        ended = initrd_jail.boot(arguments, check=LOOK)
        assert ended.code == "booted", ended.lines
        assert ended.lines[-7:-2] == ("r1n7", "not the overlay's", "base", "600 7:8 overlay", "644 0:0 hostname")
        token = re.search(r"nb\.token=(\S+)", arguments)
        assert token
        said = "\n".join(ended.lines)
        assert token[1] not in said
        assert "the node's own layer sha256:" in said


def test_signed_node_takes_no_layer_where_its_manifest_does_not_say_so(initrd_jail: Jail, initrd_image: Image) -> None:
    files, argument = _served(initrd_image, overlay_of(_file("x")))
    with hostile(files) as server:
        for what in (f"MANIFEST={MANIFEST}", f"BASEFS=/{BASE_NAME}"):
            ended = initrd_jail.boot(f"API_CB={server.address} {what} {argument}")
            assert (ended.status, ended.code) == (FAILED, "NB-NODE-LAYER"), ended.lines
        assert not [path for path in server.asked if path.startswith("/layer")]


@pytest.mark.parametrize("what", [f"MANIFEST={MANIFEST}", f"BASEFS=/{BASE_NAME}"])
def test_node_without_keys_takes_it_with_every_image(
    tmp_path: Path, initrd_jail: Jail, initrd_image: Image, what: str
) -> None:
    files, argument = _served(initrd_image, overlay_of(_file("own")))
    with hostile(files) as server:
        unsigned = trust(tmp_path / "trust", ())
        ended = initrd_jail.boot(f"API_CB={server.address} {what} {argument}", check="cat /newroot/own", trust=unsigned)
    assert ended.code == "booted", ended.lines


STRANGE = {
    "symlink": [_file("x", stat.S_IFLNK | 0o777, b"/etc/shadow")],
    "device": [_file("x", stat.S_IFBLK | 0o600)],
    "whiteout": [_folder("etc"), _file("etc/base", stat.S_IFCHR)],
    "pipe": [_file("x", stat.S_IFIFO | 0o600)],
    "setuid": [_file("x", stat.S_IFREG | 0o4755)],
    "setgid folder": [_file("x", stat.S_IFDIR | 0o2755)],
    "sidecar": [_folder(".on-imagebuilder"), _file(".on-imagebuilder/attributes")],
    "line end": [_file("x\n../../etc", stat.S_IFDIR | 0o700)],
    "folder for a file": [_folder("etc"), _folder("etc/base"), _file("etc/base/x")],
}


@pytest.mark.parametrize("what", STRANGE)
def test_layer_with_anything_but_folders_and_plain_files_ends_the_boot(
    initrd_jail: Jail, accepting: Image, what: str
) -> None:
    files, argument = _served(accepting, overlay_of(*STRANGE[what]))
    with hostile(files) as server:
        ended = initrd_jail.boot(f"API_CB={server.address} MANIFEST={MANIFEST} {argument}")
    assert (ended.status, ended.code) == (FAILED, "NB-NODE-LAYER"), ended.lines


@pytest.mark.parametrize(
    ("layer", "argument", "code"),
    [
        (b"hsqs", "", "NB-UNPACK"),
        (overlay_of(_file("../x")), "", "NB-UNPACK"),
        (bytes(1_100_000), "", "NB-FETCH"),
        (overlay_of(_file("x")), "nb.layer=/layer/" + "0" * 64, "NB-NOT-FOUND"),
        (overlay_of(_file("x")), "nb.layer=/layer/0g", "NB-ARGUMENT"),
        (overlay_of(_file("x")), "nb.layer=https://127.0.0.1:9/layer/" + "0" * 64, "NB-ARGUMENT"),
    ],
    ids=["squashfs", "outside", "too large", "another", "no sha256", "no TLS"],
)
def test_layer_that_cannot_be_had_or_unpacked_ends_the_boot(
    initrd_jail: Jail, accepting: Image, layer: bytes, argument: str, code: str
) -> None:
    files, own = _served(accepting, layer)
    with hostile(files) as server:
        ended = initrd_jail.boot(f"API_CB={server.address} MANIFEST={MANIFEST} {own} {argument}")
    assert (ended.status, ended.code) == (FAILED, code), ended.lines


def test_layer_with_another_digest_than_the_script_says_ends_the_boot(initrd_jail: Jail, accepting: Image) -> None:
    files, argument = _served(accepting, overlay_of(_file("x")))
    path = argument.split()[0].partition("=")[2]
    with hostile({**files, path: overlay_of(_file("y"))}) as server:
        ended = initrd_jail.boot(f"API_CB={server.address} MANIFEST={MANIFEST} {argument}")
        assert (ended.status, ended.code) == (FAILED, "NB-DIGEST"), ended.lines
        assert server.asked[path] == 3


def test_secrets_come_over_https_while_all_else_comes_over_http(tmp_path: Path, accepting: Image) -> None:
    certificates = make_certificates(tmp_path / "site")
    jail = make_jail(tmp_path / "root", authorities=(certificates / "ca.pem").read_text())
    layout = _store(tmp_path, accepting)
    secret = NODES.replace("hostname: hostname", "hostname: secret")
    (tmp_path / "nodes.yml").write_text(secret)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tls = ["--tls-cert", certificates / "server.pem", "--tls-key", certificates / "server.pem", "--tls-port", port]
    with boot_server(layout.root, "--nodes", tmp_path / "nodes.yml", *tls) as server:
        arguments = _arguments(server)
        assert f"nb.layer=https://127.0.0.1:{port}/layer/" in arguments
        ended = jail.boot(arguments, check=LOOK)
        assert ended.code == "booted", ended.lines
        assert "r1n7" in ended.lines
        plain = arguments.replace(f"https://127.0.0.1:{port}/layer", "/layer")
        ended = jail.boot(plain)
        assert (ended.status, ended.code) == (FAILED, "NB-FETCH"), ended.lines


def test_layer_is_not_kept_on_the_nodes_disk(initrd_jail: Jail, accepting: Image) -> None:
    layer = overlay_of(_file("own"))
    files, argument = _served(accepting, layer)
    with hostile(files) as server:
        ended = initrd_jail.boot(f"API_CB={server.address} MANIFEST={MANIFEST} {argument} cache=disk")
    assert ended.code == "booted", ended.lines
    kept = {path.name for path in (initrd_jail.root / "disk/on-imagebuilder").iterdir()}
    assert kept
    assert of_bytes(layer) not in kept


def test_folders_stay_as_they_are_in_the_image(initrd_jail: Jail, accepting: Image) -> None:
    look = "cd /layers && stat -c '%a %u:%g %Y' 1/etc && stat -c '%a %u:%g %Y' /newroot/etc /newroot/new"
    files, argument = _served(accepting, overlay_of(_file("etc", stat.S_IFDIR | 0o700), _file("etc/x"), _folder("new")))
    with hostile(files) as server:
        ended = initrd_jail.boot(f"API_CB={server.address} MANIFEST={MANIFEST} {argument}", check=look)
    assert ended.code == "booted", ended.lines
    etc, merged, new = ended.lines[-5:-2]
    assert etc == merged
    assert new == "755 0:0 0"

"""The boot server as nodes, registries' clients and strangers meet it: over real sockets."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.digest import of_bytes
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import MANIFEST_TYPE
from imagebuilder.store.signing import SIGNATURE_TYPE
from serving import BIG, MAC, SIGNATURE, BootServer, blob_path, boot_server
from stores import add_image


def test_blob_comes_whole_and_may_be_kept_for_ever(server: BootServer) -> None:
    answer = server.get(blob_path(BIG))
    assert (answer.status, answer.body) == (200, BIG)
    assert answer.headers["ETag"] == f'"{of_bytes(BIG)}"'
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_head_says_the_size_and_sends_nothing(server: BootServer) -> None:
    answer = server.ask("HEAD", blob_path(BIG))
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", str(len(BIG)))


def test_empty_blob_is_an_empty_answer(server: BootServer) -> None:
    assert server.get(blob_path(b"")).body == b""


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-0", slice(0, 1)), ("bytes=1000-1999999", slice(1000, 2000000)), ("bytes=-10", slice(-10, None))],
)
def test_part_of_a_blob_is_just_that(server: BootServer, wanted: str, part: slice) -> None:
    answer = server.get(blob_path(BIG), Range=wanted)
    assert (answer.status, answer.body) == (206, BIG[part])
    first, last, _ = part.indices(len(BIG))
    assert answer.headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(BIG)}"


def test_part_behind_the_end_is_refused_with_the_size(server: BootServer) -> None:
    answer = server.get(blob_path(BIG), Range=f"bytes={len(BIG)}-")
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (416, b"", f"bytes */{len(BIG)}")


def test_part_is_of_the_version_that_is_meant(server: BootServer) -> None:
    path, tag = blob_path(BIG), f'"{of_bytes(BIG)}"'
    assert server.get(path, Range="bytes=0-0", If_Range=tag).status == 206
    assert server.get(path, Range="bytes=0-0", If_Range='"another"').status == 200


@pytest.mark.parametrize("known", ['"{}"', '"x", W/"{}"', "*"])
def test_what_a_cache_has_is_not_sent_again(server: BootServer, known: str) -> None:
    answer = server.get(blob_path(BIG), If_None_Match=known.format(of_bytes(BIG)))
    assert (answer.status, answer.body) == (304, b"")


def test_interrupted_download_goes_on_where_it_stopped(server: BootServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {blob_path(BIG)} HTTP/1.0\r\n\r\n".encode())
        begun = b""
        while len(begun) < 100_000:
            begun += connection.recv(50_000)
    first = begun.partition(b"\r\n\r\n")[2]
    assert first + server.get(blob_path(BIG), Range=f"bytes={len(first)}-").body == BIG


def test_manifest_is_had_by_tag_and_by_digest_with_its_type(server: BootServer, layout: Layout) -> None:
    by_tag = server.get("/v2/discovery/manifests/latest")
    digest = by_tag.headers["Docker-Content-Digest"]
    assert digest == f"sha256:{of_bytes(by_tag.body)}"
    assert by_tag.headers["Content-Type"] == MANIFEST_TYPE
    assert by_tag.headers["Cache-Control"] == "no-cache"
    by_digest = server.get(f"/v2/discovery/manifests/{digest}")
    assert by_digest.body == by_tag.body == layout.read(digest.removeprefix("sha256:"))
    assert "immutable" in by_digest.headers["Cache-Control"]
    layers = json.loads(by_tag.body)["layers"]
    assert all(server.ask("HEAD", f"/v2/discovery/blobs/{layer['digest']}").status == 200 for layer in layers)


def test_signature_lies_beside_every_way_to_the_manifest(server: BootServer) -> None:
    sha256 = of_bytes(server.get("/v2/discovery/manifests/latest").body)
    for path in (
        "/v2/discovery/manifests/latest",
        f"/v2/discovery/manifests/sha256:{sha256}",
        f"/blobs/sha256/{sha256}",
        "/discovery.manifest.json",
        "/common/discovery.manifest.json",
    ):
        assert server.get(f"{path}.minisig").body == SIGNATURE, path


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/none/manifests/latest", "MANIFEST_UNKNOWN"),
        ("/v2/discovery/manifests/stable", "MANIFEST_UNKNOWN"),
        (f"/v2/discovery/manifests/sha256:{'0' * 64}", "MANIFEST_UNKNOWN"),
        (f"/v2/discovery/manifests/sha256:{of_bytes(BIG)}", "MANIFEST_UNKNOWN"),
        ("/v2/raid/manifests/latest.minisig", "MANIFEST_UNKNOWN"),
        (f"/v2/discovery/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
    ],
)
def test_what_the_registry_does_not_have_is_said_in_its_words(server: BootServer, path: str, code: str) -> None:
    answer = server.get(path)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, code)


def test_lists_come_a_page_at_a_time(server: BootServer) -> None:
    assert json.loads(server.get("/v2/_catalog").body) == {"repositories": ["discovery", "raid"]}
    first = server.get("/v2/_catalog?n=1")
    assert json.loads(first.body) == {"repositories": ["discovery"]}
    following = first.headers["Link"].partition("<")[2].partition(">")[0]
    last = server.get(following)
    assert (json.loads(last.body), last.headers["Link"]) == ({"repositories": ["raid"]}, None)
    assert server.get("/v2/_catalog?n=x").status == 400


def test_what_is_attached_is_listed(server: BootServer) -> None:
    sha256 = of_bytes(server.get("/v2/discovery/manifests/latest").body)
    (entry,) = json.loads(server.get(f"/v2/discovery/referrers/sha256:{sha256}").body)["manifests"]
    assert entry["artifactType"] == SIGNATURE_TYPE
    none = server.get(f"/v2/discovery/referrers/sha256:{sha256}?artifactType=other")
    assert (json.loads(none.body)["manifests"], none.headers["OCI-Filters-Applied"]) == ([], "artifactType")


def test_skopeo_copies_an_image_from_here(server: BootServer, tmp_path: Path) -> None:
    source = f"docker://127.0.0.1:{server.port}/discovery:latest"
    argv = ["skopeo", "copy", "--src-tls-verify=false", source, f"oci:{tmp_path / 'copy'}:x"]
    subprocess.run(argv, check=True, capture_output=True)
    copied = json.loads((tmp_path / "copy/index.json").read_text())["manifests"][0]["digest"]
    assert copied == server.get("/v2/discovery/manifests/latest").headers["Docker-Content-Digest"]


def test_we_pull_from_ourselves(server: BootServer, tmp_path: Path) -> None:
    argv: list[str | Path] = [
        PROGRAM,
        "pull",
        f"127.0.0.1:{server.port}/discovery",
        "--plain-http",
        "--store",
        str(tmp_path / "store"),
    ]
    subprocess.run([*argv, "--cache", str(tmp_path)], check=True, capture_output=True)
    names = json.loads((tmp_path / "store/index.json").read_text())["manifests"]
    assert SIGNATURE_TYPE in [entry["artifactType"] for entry in names]


@pytest.mark.parametrize("folder", ["", "/common"])
def test_names_of_2015_lead_to_the_newest_images(server: BootServer, folder: str) -> None:
    assert server.get(f"{folder}/base.squashfs.img").body == b"base"
    sums = server.get(f"{folder}/SHA256SUMS").body.decode()
    assert f"{of_bytes(b'base')}  base.squashfs.img\n" in sums


def test_names_of_2015_can_come_from_a_folder(layout: Layout, tmp_path: Path) -> None:
    builds = tmp_path / "builds"
    (builds / "folder").mkdir(parents=True)
    (builds / "base.img").write_text("mine")
    (builds / ".lock").touch()
    with boot_server(layout.root, "--builds", builds) as server:
        assert server.get("/common/base.img").body == b"mine"
        assert server.get("/common/base.img", Range="bytes=1-").body == b"ine"
        for name in (".lock", "folder", "..%2fstore", "vmlinuz-6.1", "SHA256SUMS"):
            assert server.get(f"/common/{name}").status == 404, name


def test_ipxe_is_there_for_firmware_under_both_names(server: BootServer) -> None:
    assert server.get("/undionly.kpxe").body == server.get("/monorail-undionly.kpxe").body == b"iPXE"
    assert server.get("/ipxe.efi").status == 404


def test_node_asks_for_its_script_and_gets_what_it_names(server: BootServer) -> None:
    first = server.get("/boot.ipxe").body.decode()
    assert f"http://127.0.0.1:{server.port}/boot.ipxe?mac=${{netX/mac}}" in first
    answer = server.get(f"/boot.ipxe?mac={MAC}&uuid=&serial=")
    assert answer.headers["Cache-Control"] == "no-store"
    words = answer.body.decode().split()
    assert {f"API_CB=127.0.0.1:{server.port}", "BOOTIF=01-52-54-00-12-34-56", "quiet"} <= set(words)
    (manifest,) = (word.removeprefix("MANIFEST=") for word in words if word.startswith("MANIFEST="))
    assert server.get(manifest).status == 200
    kernel, initrd = (word.partition(f":{server.port}")[2] for word in words if "/blobs/" in word)
    assert (server.get(kernel).body, server.get(initrd).body) == (b"kernel", b"initrd")
    assert f"{MAC} (127.0.0.1): discovery:latest sha256:" in server.line(MAC)


def test_grub_finds_its_configuration(server: BootServer) -> None:
    assert b"configfile" in server.get("/grub/grub.cfg").body
    assert b"linux (http," in server.get("/grub/grub.cfg-01-52-54-00-12-34-56").body
    assert server.get("/grub/grub.cfg-C0A80001").status == 404


@pytest.mark.parametrize("path", ["/boot.ipxe?mac=52:54:00", "/boot.ipxe?mac=$(reboot)", "/boot.ipxe?uuid=1"])
def test_malformed_identity_is_refused(server: BootServer, path: str) -> None:
    assert server.get(path).status == 400


def test_host_that_would_be_a_command_is_refused(server: BootServer) -> None:
    assert server.get("/boot.ipxe", Host="x;reboot").status == 400


def test_image_that_is_gone_is_said_on_the_nodes_console(layout: Layout) -> None:
    with boot_server(layout.root, "--image", "canary") as server:
        assert b"echo the store has no `canary:latest`" in server.get(f"/boot.ipxe?mac={MAC}").body
        assert "nothing to boot" in server.line(MAC)


def test_address_can_be_told(layout: Layout) -> None:
    with boot_server(layout.root, "--image", "raid", "--address", "boot.lan:80") as server:
        assert b" API_CB=boot.lan:80 " in server.get(f"/boot.ipxe?mac={MAC}").body


def test_channel_that_moves_is_what_the_next_node_gets(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "store")
    layout.prepare()
    old = add_image(layout, "discovery:stable", "old")
    with boot_server(layout.root, "--image", "discovery:stable") as server:

        def given() -> bool:
            return old.digest in server.get(f"/boot.ipxe?mac={MAC}").body.decode()

        assert given()
        new = add_image(layout, "discovery:stable", "new")
        assert not given()
        assert server.get(f"/v2/discovery/manifests/{old.digest}").status == 200
        change_index(layout, lambda index: index.rolled_back("discovery:stable"))
        assert given()
        assert new != old


@pytest.mark.parametrize(
    "path", ["/../secret", "/common/../../secret", "/%2e%2e/secret", "/common/..%2f..%2fsecret", "//etc/passwd"]
)
def test_no_way_leads_out_of_the_store(server: BootServer, path: str) -> None:
    answer = server.get(path)
    assert (answer.status, b"secret" in answer.body) == (404, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(server: BootServer, method: str) -> None:
    assert server.ask(method, "/v2/discovery/manifests/latest", b"{}").status == 405

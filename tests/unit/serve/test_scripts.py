"""Boot scripts, as boot loaders get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.errors import UserError
from imagebuilder.serve.catalog import Catalog, read_catalog
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.scripts import (
    Loader,
    asking_script,
    boot_script,
    checked_arguments,
    checked_image,
    refusing_script,
    start_of,
)
from imagebuilder.store.layout import Layout
from stores import add_image

NODE = Identity(mac="52:54:00:12:34:56")
SERVER = "10.0.0.1:8080"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    layout = Layout(tmp_path / "store")
    layout.prepare()
    add_image(layout, "discovery:stable", "old")
    add_image(layout, "discovery:latest", "new")
    return read_catalog(layout)


def test_ipxe_is_told_everything_by_digest(catalog: Catalog) -> None:
    start = start_of(catalog, "discovery:stable", "console=ttyS0  quiet")
    lines = boot_script(Loader.IPXE, start, SERVER, NODE).splitlines()
    assert lines[0] == "#!ipxe"
    words = [f"MANIFEST=/v2/discovery/manifests/{start.manifest.digest}", f"API_CB={SERVER}"]
    words += ["BOOTIF=01-52-54-00-12-34-56", "console=ttyS0", "quiet"]
    assert lines[2:] == [
        f"kernel http://{SERVER}/blobs/sha256/{start.kernel.sha256} initrd=initrd {' '.join(words)}",
        f"initrd --name initrd http://{SERVER}/blobs/sha256/{start.initrd.sha256}",
        "boot",
    ]


def test_grub_is_told_the_same_in_its_quotes(catalog: Catalog) -> None:
    start = start_of(catalog, "discovery:latest", "a=$x;reboot 'b'")
    text = boot_script(Loader.GRUB, start, SERVER, NODE)
    assert f"linux (http,{SERVER})/blobs/sha256/{start.kernel.sha256} " in text
    assert f"initrd (http,{SERVER})/blobs/sha256/{start.initrd.sha256}\n" in text
    assert """ 'a=$x;reboot' ''"'"'b'"'"''\n""" in text


def test_node_without_an_address_gets_no_bootif(catalog: Catalog) -> None:
    start = start_of(catalog, "discovery:latest", "")
    assert "BOOTIF" not in boot_script(Loader.IPXE, start, SERVER, Identity(serial="CN7"))


def test_image_by_digest_is_that_one_whatever_its_names_are_now(catalog: Catalog) -> None:
    old = catalog.names["discovery:stable"]
    assert start_of(catalog, f"discovery@{old.digest}", "").manifest.sha256 == old.sha256


@pytest.mark.parametrize("name", ["raid:latest", f"discovery@sha256:{'0' * 64}", "discovery:canary"])
def test_image_that_is_not_there_is_said_with_what_is(catalog: Catalog, name: str) -> None:
    with pytest.raises(UserError, match=f"the store has no `{name}`") as caught:
        start_of(catalog, name, "")
    assert caught.value.hint == "it has `discovery:latest`, `discovery:stable`"


def test_image_of_others_digest_needs_a_name_of_ours(catalog: Catalog) -> None:
    with pytest.raises(UserError):
        start_of(catalog, f"raid@{catalog.names['discovery:latest'].digest}", "")


def test_asking_script_names_the_card_that_booted() -> None:
    assert f"http://{SERVER}/boot.ipxe?mac=${{netX/mac}}&uuid=${{uuid}}" in asking_script(Loader.IPXE, SERVER)
    assert f"configfile (http,{SERVER})/grub/grub.cfg-01-$net_default_mac" in asking_script(Loader.GRUB, SERVER)


@pytest.mark.parametrize("loader", Loader)
def test_reason_cannot_be_a_command(loader: Loader) -> None:
    text = refusing_script(loader, SERVER, "no `x` && shell\n' ${reboot} || é")
    assert "no `x`  shell {reboot}  " in text
    assert len(text.splitlines()) == len(refusing_script(loader, SERVER, "x").splitlines())


@pytest.mark.parametrize(("given", "name"), [("a", "a:latest"), ("a:b", "a:b"), ("a@sha256:" + "0" * 64,) * 2])
def test_image_is_named_in_full(given: str, name: str) -> None:
    assert checked_image(given) == name


@pytest.mark.parametrize("given", ["", "a b", "a@sha256:0", "a:b@sha256:" + "0" * 64, "a@" + "0" * 64, "../a"])
def test_what_names_no_image_is_refused(given: str) -> None:
    with pytest.raises(UserError):
        checked_image(given)


@pytest.mark.parametrize("given", ["a\nshell", "a && shell", "é"])
def test_arguments_that_a_script_cannot_carry_are_refused(given: str) -> None:
    with pytest.raises(UserError):
        checked_arguments(given)

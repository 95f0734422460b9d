"""Who asks, in the words of boot loaders."""

from __future__ import annotations

import pytest

from imagebuilder.serve.identity import Identity, normal_mac, normal_server, normal_uuid

MAC = "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(
    "given",
    [
        MAC,
        MAC.upper(),
        "52-54-00-ab-cd-ef",
        "01-52-54-00-ab-cd-ef",
        "01:52:54:00:AB:CD:EF",
        "525400abcdef",
        "20-" + MAC,
    ],
)
def test_every_way_to_write_an_address_is_the_same_address(given: str) -> None:
    assert normal_mac(given) == MAC


@pytest.mark.parametrize(
    "given", ["", "52:54:00:ab:cd", "52:54:00:ab:cd:eg", MAC + ":00:00", f"{MAC}\n", "٥" * 12, "x"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no MAC address"):
        normal_mac(given)


def test_uuid_is_in_lower_case() -> None:
    assert normal_uuid("4C4C4544-0042-3510-8052-B7C04F4E4A32") == "4c4c4544-0042-3510-8052-b7c04f4e4a32"
    with pytest.raises(ValueError, match="is no UUID"):
        normal_uuid("4C4C4544")


@pytest.mark.parametrize(
    ("given", "server"),
    [("10.0.0.1:8080", "10.0.0.1:8080"), ("boot.lan", "boot.lan:80"), ("[::1]", "[::1]:80"), ("[::1]:81", "[::1]:81")],
)
def test_server_has_a_port(given: str, server: str) -> None:
    assert normal_server(given) == server


@pytest.mark.parametrize("given", ["", "a b", "host;reboot", "host:port", "host\nboot", "${net0/mac}", "a/b"])
def test_host_that_could_break_a_script_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no HOST:PORT"):
        normal_server(given)


def test_what_a_machine_says_of_itself_is_made_fit_to_show() -> None:
    identity = Identity.from_query({"mac": MAC, "serial": " CN7\x1b[31m ", "vendor": "x" * 500})
    assert (identity.serial, len(identity.vendor)) == ("CN7[31m", 128)
    assert str(identity) == MAC
    assert str(Identity(serial="CN7")) == "CN7"

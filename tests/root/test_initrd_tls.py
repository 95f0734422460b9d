"""HTTPS on a node: GNU wget in the place of busybox's, and who is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from certificates import make_certificates, server_context
from hostile import Trouble, hostile
from initrd_jail import Ended, Image, Jail, make_jail

pytestmark = pytest.mark.root

MANIFEST, BASE = "/discovery.manifest.json", "/base.squashfs.img"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls") / "site")


@pytest.fixture(scope="module")
def jail(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Jail:
    return make_jail(tmp_path_factory.mktemp("tls-jail") / "root", authorities=(certificates / "ca.pem").read_text())


TROUBLES = {
    "nothing wrong": {},
    "breaks off every 100 KB": {BASE: Trouble(sent=100_000)},
    "503 with Retry-After": {BASE: Trouble(1, status=503, headers={"Retry-After": "2"})},
    "stall": {BASE: Trouble(1, sent=200_000, silent=60)},
    "no Range": {BASE: Trouble(2, sent=200_000, whole=True)},
}


def _boot(jail: Jail, url: str, manifest: str = MANIFEST) -> Ended:
    return jail.boot(f"SERVERS={url} MANIFEST={manifest}", check="cat /newroot/etc/base /newroot/etc/overlay")


@pytest.mark.parametrize("name", TROUBLES)
def test_image_boots_over_https(jail: Jail, initrd_image: Image, certificates: Path, name: str) -> None:
    with hostile(initrd_image.files, TROUBLES[name], tls=server_context(certificates)) as server:
        ended = _boot(jail, server.url)
    assert ended.code == "booted", ended.lines


@pytest.mark.parametrize("name", TROUBLES)
def test_the_same_initrd_takes_http(jail: Jail, initrd_image: Image, name: str) -> None:
    with hostile(initrd_image.files, TROUBLES[name]) as server:
        ended = _boot(jail, server.url)
    assert ended.code == "booted", ended.lines


def test_transfer_goes_on_where_it_stopped(jail: Jail, initrd_image: Image, certificates: Path) -> None:
    with hostile(initrd_image.files, {BASE: Trouble(1, sent=200_000)}, tls=server_context(certificates)) as server:
        assert _boot(jail, server.url).code == "booted"
        assert [start for path, start in server.starts if path == BASE] == [0, 200_000]


def test_record_is_posted_over_https(jail: Jail, initrd_image: Image, certificates: Path) -> None:
    with hostile(initrd_image.files, tls=server_context(certificates)) as server:
        jail.boot(f"MANIFEST={server.url}{MANIFEST} nb.report={server.url}/report")
        assert server.posted


@pytest.mark.parametrize(
    ("name", "days", "known", "why"),
    [
        ("IP:127.0.0.1", 2, False, "doesn't have a known issuer"),
        ("IP:127.0.0.1", -1, True, "has expired"),
        ("DNS:elsewhere.example", 2, True, "not match hostname"),
    ],
    ids=["unknown authority", "expired", "another name"],
)
def test_server_whose_certificate_is_not_right_is_not_asked(
    tmp_path: Path, jail: Jail, initrd_image: Image, name: str, days: int, known: bool, why: str
) -> None:
    folder = make_certificates(tmp_path / "other", name, days)
    trusting = make_jail(tmp_path / "root", authorities=(folder / "ca.pem").read_text()) if known else jail
    with hostile(initrd_image.files, tls=server_context(folder)) as server:
        ended = _boot(trusting, server.url)
        assert ended.code == "NB-TLS", ended.lines
        assert why in "".join(ended.lines)
        assert not server.asked
    with hostile(initrd_image.files) as plain:
        assert _boot(trusting, plain.url).code == "booted"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Trouble(status=404), "NB-NOT-FOUND"),
        (Trouble(status=403), "NB-FETCH"),
        (Trouble(status=302, headers={"Location": MANIFEST}), "NB-FETCH"),
    ],
    ids=["404", "403", "circle"],
)
def test_answers_of_servers_are_understood(jail: Jail, initrd_image: Image, trouble: Trouble, code: str) -> None:
    with hostile(initrd_image.files, {MANIFEST: trouble}) as server:
        ended = _boot(jail, server.url)
        assert ended.code == code, ended.lines
        assert server.asked[MANIFEST] <= 21


def test_initrd_without_authorities_takes_no_https(initrd_jail: Jail) -> None:
    ended = _boot(initrd_jail, "https://127.0.0.1:9")
    assert ended.code == "NB-ARGUMENT"

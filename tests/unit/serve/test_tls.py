"""HTTPS beside HTTP, and certificates that cannot be used."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from certificates import make_certificates
from imagebuilder.cli.main import main
from imagebuilder.errors import UserError
from imagebuilder.serve.operator import is_here
from imagebuilder.serve.tls import tls_context
from imagebuilder.store.layout import Layout
from serving import BIG, MAC, blob_path, boot_server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls") / "site")


def test_operator_and_nodes_are_served_at_two_ports(site: Path, small_store: Layout) -> None:
    small_store.put(BIG)
    words = ("--tls-cert", site / "server.crt", "--tls-key", site / "server.key", "--tls-port", "0")
    with boot_server(small_store.root, "--image", "discovery", *words) as server:
        assert b"http://127.0.0.1" in server.get(f"/boot.ipxe?mac={MAC}").body
        assert server.get(blob_path(BIG)).body == BIG

        def curl(path: str, *more: str) -> bytes:
            url = f"https://127.0.0.1:{server.tls_port}{path}"
            argv: list[str | Path] = ["curl", "--silent", "--fail", "--cacert", site / "ca.pem", *more, url]
            return subprocess.run(argv, check=True, capture_output=True).stdout

        assert curl(blob_path(BIG)) == BIG
        assert b'"machine":"52:54' in curl("/api/1/nodes", "-H", f"Authorization: {server.operator['Authorization']}")
        login = ("-H", "Content-Type: application/json", "-D", "-", "-d")
        token = server.operator["Authorization"].removeprefix("Bearer ")
        assert b"; Secure" in curl("/api/1/login", *login, f'{{"token": "{token}"}}')


def _encrypted(site: Path) -> Path:
    argv = ["openssl", "pkey", "-in", "server.key", "-aes256", "-passout", "pass:x", "-out", "secret.key"]
    subprocess.run(argv, cwd=site, check=True, capture_output=True)
    return site / "secret.key"


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        (lambda site: site / "none", lambda site: site / "server.key", "none cannot be read: No such file"),
        (lambda site: site / "server.crt", lambda site: site, "cannot be read: Is a directory"),
        (lambda site: site / "server.key", lambda site: site / "server.key", "server.key holds no certificate"),
        (lambda site: site / "server.crt", lambda site: site / "server.crt", "server.crt holds no private key"),
        (lambda site: site / "server.crt", lambda site: site / "ca.key", "is not that of the certificate"),
        (lambda site: site / "server.crt", _encrypted, "needs a password"),
    ],
)
def test_certificate_that_cannot_be_used_is_said(
    site: Path, certificate: Callable[[Path], Path], key: Callable[[Path], Path], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        tls_context(certificate(site), key(site))


@pytest.mark.parametrize(("now", "problem"), [(0, "on only"), (10_000_000_000, "has expired on 20")])
def test_certificate_that_is_out_of_date_is_refused(
    site: Path, monkeypatch: pytest.MonkeyPatch, now: int, problem: str
) -> None:
    monkeypatch.setattr("imagebuilder.host.clock.now", lambda: now)
    with pytest.raises(UserError, match=problem):
        tls_context(site / "server.crt", site / "server.key")


def test_certificate_and_key_go_together(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--tls-cert", str(site / "server.crt"), "--cache", str(tmp_path)]) == 2
    assert "go together" in capsys.readouterr().err


def test_server_warns_of_a_token_that_crosses_the_network(small_store: Layout) -> None:
    with boot_server(small_store.root, "--bind", "0.0.0.0") as server:
        assert any("crosses the network in clear" in line for line in server.said)
    with boot_server(small_store.root) as server:
        assert not any("crosses the network" in line for line in server.said)


@pytest.mark.parametrize(("address", "here"), [("127.0.0.9", True), ("::1", True), ("10.0.0.1", False), ("", False)])
def test_this_machine_is_known(address: str, here: bool) -> None:
    assert is_here(address) is here

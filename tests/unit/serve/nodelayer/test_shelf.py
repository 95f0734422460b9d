"""Where nodes fetch their own layer: the real application, over HTTP and over HTTPS."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from certificates import make_certificates, server_context
from imagebuilder.cli.main import main
from imagebuilder.digest import of_bytes
from imagebuilder.errors import SpecError
from imagebuilder.host import clock
from imagebuilder.serve.app import Settings, application
from imagebuilder.store.layout import Layout
from serving import MAC, Answer

OTHER = "52:54:00:00:00:07"
FILE = f"""\
variables: {{hostname: hostname, password: secret}}
profiles:
  plain:
    image: discovery
    files:
      - {{dest: /etc/hostname, src: nodes/hostname.j2}}
  secret:
    image: discovery
    files:
      - {{dest: /root/bmc, content: "{{{{ password }}}}", mode: "0600"}}
    variables: {{password: hush}}
nodes:
  - {{mac: "{MAC}", name: r1n7, profile: plain, variables: {{hostname: r1n7}}}}
default: secret
"""


@dataclass
class Server:
    """Ports for HTTP and HTTPS, and what was said."""

    http: int
    https: int
    context: ssl.SSLContext
    said: list[str] = field(default_factory=list)

    def get(self, path: str, *, secure: bool = False, source: str = "127.0.0.1") -> Answer:
        """One request from an address of loopback."""
        if secure:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.https, timeout=10, context=self.context, source_address=(source, 0)
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10, source_address=(source, 0))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.headers)
        finally:
            connection.close()

    def boot(self, mac: str) -> dict[str, str]:
        """The kernel arguments of a boot script."""
        script = self.get(f"/boot.ipxe?mac={mac}").body.decode()
        return {name: value for name, _, value in (word.partition("=") for word in script.split())}


def _settings(layout: Layout, https: int = 0) -> Settings:
    return Settings(layout, Path("nodes.yml"), "state.sqlite", https=https)


@contextmanager
def running(layout: Layout, certificates: Path) -> Iterator[Server]:
    """The application, at two ports, in a thread."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [listening.getsockname()[1] for listening in sockets]
    trusting = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    server = Server(ports[0], ports[1], trusting)
    app = application(_settings(layout, ports[1]), server.said.append)
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        await web.SockSite(runner, sockets[0]).start()
        await web.SockSite(runner, sockets[1], ssl_context=server_context(certificates)).start()
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls") / "site")


@pytest.fixture
def layout(small_store: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(tmp_path)
    Path("nodes").mkdir()
    Path("nodes/hostname.j2").write_text("{{ hostname }}\n")
    Path("nodes.yml").write_text(FILE)
    return small_store


@pytest.fixture
def server(layout: Layout, certificates: Path) -> Iterator[Server]:
    with running(layout, certificates) as server:
        yield server


def _report(server: Server, words: dict[str, str], *phases: str) -> None:
    record = "\n".join(json.dumps({"phase": phase, "ms": 1}) for phase in phases)
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=10)
    connection.request("POST", words["nb.report"], record, {"Content-Type": "application/x-ndjson"})
    assert connection.getresponse().status == 204
    connection.close()


def test_boot_script_names_a_layer_that_its_token_opens(server: Server) -> None:
    words = server.boot(MAC)
    path = words["nb.layer"]
    assert re.fullmatch("/layer/[0-9a-f]{64}", path)
    answer = server.get(f"{path}?token={words['nb.token']}")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert of_bytes(answer.body) == path.rpartition("/")[2]
    for token in ("", "0" * 24, server.boot(OTHER)["nb.token"]):
        assert server.get(f"{path}?token={token}").status == 404
    other = "/layer/" + "0" * 64
    assert server.get(f"{other}?token={words['nb.token']}").status == 404


def test_token_opens_nothing_any_more_when_the_node_has_booted(server: Server) -> None:
    words = server.boot(MAC)
    url = f"{words['nb.layer']}?token={words['nb.token']}"
    _report(server, words, "fetch")
    assert server.get(url).status == 200
    _report(server, words, "fetch", "switch")
    assert server.get(url).status == 403


def test_secrets_go_over_https_and_to_the_first_address_alone(server: Server) -> None:
    words = server.boot(OTHER)
    where, path = words["nb.layer"].split("/layer/")
    assert where == f"https://127.0.0.1:{server.https}"
    url = f"/layer/{path}?token={words['nb.token']}"
    plain = server.get(url)
    assert (plain.status, plain.body) == (403, b"this layer has secrets, which go over HTTPS only\n")
    assert [server.get(url, secure=True).status for _ in range(2)] == [200, 200]
    assert server.get(url, secure=True, source="127.0.0.9").status == 403
    assert f"{OTHER}: 127.0.0.9 asks for the secrets that 127.0.0.1 has fetched" in server.said


def test_secrets_without_https_do_not_start_a_server_and_do_not_come_into_force(
    layout: Layout, certificates: Path
) -> None:
    with pytest.raises(SpecError, match=r"^nodes.yml:10: `/root/bmc` has the secret `password`"):
        application(_settings(layout), print)


def test_server_that_was_started_anew_has_the_layer_of_a_boot_that_goes_on(layout: Layout, certificates: Path) -> None:
    with running(layout, certificates) as first:
        words = first.boot(MAC)
    url = f"{words['nb.layer']}?token={words['nb.token']}"
    with running(layout, certificates) as second:
        assert second.get(url).status == 200
    Path("nodes/hostname.j2").write_text("{{ hostname }}.example.org\n")
    with running(layout, certificates) as third:
        assert third.get(url).status == 404
        assert third.boot(MAC)["nb.layer"] != words["nb.layer"]


def test_change_of_a_template_counts_for_the_next_boot_and_a_wrong_one_does_not(server: Server) -> None:
    first = server.boot(MAC)["nb.layer"]
    Path("nodes/hostname.j2").write_text("{{ hostnme }}\n")
    assert server.boot(MAC)["nb.layer"] == first
    assert server.said[-2].startswith("nodes/hostname.j2:1: `variables:` of nodes.yml has no `hostnme`")
    Path("nodes/hostname.j2").write_text("{{ hostname }}.example.org\n")
    assert server.boot(MAC)["nb.layer"] != first


def test_template_that_was_missing_is_found_when_it_comes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = server.boot(MAC)["nb.layer"]
    Path("nodes.yml").write_text(FILE.replace("nodes/hostname.j2", "nodes/later.j2"))
    for _ in range(2):
        assert server.boot(MAC)["nb.layer"] == first
    assert len([line for line in server.said if "there is no template `nodes/later.j2`" in line]) == 1
    Path("nodes/later.j2").write_text("later\n")
    assert server.boot(MAC)["nb.layer"] == first
    later = clock.monotonic() + 5
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert server.boot(MAC)["nb.layer"] != first


def test_node_whose_layer_cannot_be_rendered_is_told_why(server: Server) -> None:
    Path("nodes.yml").write_text(FILE.replace("variables: {hostname: r1n7}", "variables: {}"))
    script = server.get(f"/boot.ipxe?mac={MAC}").body.decode()
    assert "echo nodes/hostname.j2:1: cannot be rendered for r1n7: hostname is undefined" in script
    assert "kernel" not in script


def test_render_shows_what_changed_since_the_node_asked(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    state = ("--state", "state.sqlite")
    assert main(["node", "render", "r1n7", "--diff", *state]) == 1
    assert "+r1n7\n" in capsys.readouterr().out
    Path("nodes/hostname.j2").write_text("{{ hostname }}{{ node.serial }}\n")
    path = server.boot(f"{MAC}&serial=7")["nb.layer"]
    assert main(["node", "render", "r1n7", "--diff", *state]) == 0
    assert capsys.readouterr().out == ""
    assert main(["node", "render", "r1n7", "--json", *state]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == f"sha256:{path.rpartition('/')[2]}"
    Path("nodes/hostname.j2").write_text("{{ hostname }}.example.org\n")
    assert main(["node", "render", "r1n7", "--diff", *state]) == 1
    assert "-r1n77\n+r1n7.example.org\n" in capsys.readouterr().out


def test_render_masks_secrets_and_says_when_only_they_changed(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.boot(OTHER)
    Path("nodes.yml").write_text(FILE.replace("hush", "quiet"))
    for arguments, status in (([], 0), (["--json"], 0), (["--diff"], 1), (["--diff", "--json"], 1)):
        assert main(["node", "render", OTHER, *arguments, "--state", "state.sqlite"]) == status
        said = capsys.readouterr()
        assert "quiet" not in said.out + said.err
        assert "HTTPS" in said.err
        assert "only secrets have changed" in said.out or "--diff" not in arguments or "--json" in arguments
    assert main(["node", "render", OTHER, "--output", "x.cpio.gz", "--state", "state.sqlite"]) == 0
    assert Path("x.cpio.gz").stat().st_mode & 0o777 == 0o600

"""The operator's verbs with `--server`, as a user types them on another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import make_certificates
from imagebuilder.cli.main import main
from imagebuilder.store.layout import Layout
from serving import MAC, BootServer, boot_server
from stores import add_image

NODES = f"""\
profiles: {{inventory: {{image: discovery}}, storage: {{image: raid}}}}
nodes:
  - {{mac: "{MAC}", name: r1n7, profile: storage}}
default: inventory
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    site = make_certificates(tmp_path_factory.mktemp("far") / "site")
    store = Layout(site / "store")
    store.prepare()
    add_image(store, "discovery:latest", "x")
    (site / "nodes.yml").write_text(NODES)
    words = ("--tls-cert", site / "server.pem", "--tls-key", site / "server.pem", "--tls-port", "0")
    with boot_server(store.root, "--nodes", site / "nodes.yml", *words) as server:
        server.get(f"/boot.ipxe?mac={MAC}")
        (site / "token").write_text(server.operator["Authorization"].removeprefix("Bearer "))
        yield server


@pytest.fixture
def far(server: BootServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is added to a verb that is typed elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGEBUILDER_TOKEN", server.operator["Authorization"].removeprefix("Bearer "))
    return ["--server", f"http://127.0.0.1:{server.port}", "--cache", str(tmp_path / "cache")]


def test_machines_are_those_of_the_server(far: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "ls", "--json", *far]) == 0
    machines = json.loads(capsys.readouterr().out)["nodes"]
    assert (machines[0]["machine"], machines[0]["name"], machines[0]["profile"]) == (MAC, "r1n7", "storage")
    assert main(["node", "assign", "r1n7", "inventory", *far]) == 0
    assert capsys.readouterr().out == f"{MAC} inventory\n"
    assert main(["node", "show", "r1n7", "--json", *far]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["profile"], shown["image"], len(shown["boots"])) == ("inventory", "discovery:latest", 0)
    assert main(["catalog", "r1n7", *far]) == 1
    assert "its agent has not asked for tasks yet" in capsys.readouterr().err


def test_server_with_a_certificate_is_asked_over_https(
    server: BootServer, far: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, site = f"https://127.0.0.1:{server.tls_port}/", Path(server.said[0].partition("kept in ")[2]).parents[2]
    token = ["--token-file", str(site / "token")]
    assert main(["node", "ls", "--server", url, "--ca-file", str(site / "ca.pem"), *token]) == 0
    assert MAC in capsys.readouterr().out
    assert main(["node", "ls", "--server", url, *token]) == 2
    assert "is not trusted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (["node", "assign", "r1n7", "none"], 2, "has no profile `none`"),
        (["run", "--node", "nobody", "--", "true"], 2, "has never asked"),
        (["run", "--profile", "none", "--", "true"], 2, "has the profile `none`"),
        (["catalog", "a/b c"], 2, "`a/b c` has never asked"),
        (["node", "ls", "--state", "x"], 2, "`--state` is for what lies here"),
    ],
)
def test_what_the_server_refuses_is_the_users_mistake(
    far: list[str], words: list[str], status: int, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at = words.index("--") if "--" in words else len(words)
    assert main([*words[:at], *far, *words[at:]]) == status
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "token", "status", "problem"),
    [
        ("http://127.0.0.1:1", "x" * 24, 1, "does not answer"),
        ("127.0.0.1", "x" * 24, 2, "is no address of a server"),
        ("{server}", "x" * 24, 2, "does not take this token"),
        ("{server}", "", 2, "token cannot be read"),
        ("{server}/v2", "x" * 24, 1, "is no `imagebuilder serve`"),
    ],
)
def test_server_that_cannot_be_asked_is_said(
    request: pytest.FixtureRequest, far: list[str], url: str, token: str, status: int, problem: str
) -> None:
    monkeypatch = request.getfixturevalue("monkeypatch")
    capsys = request.getfixturevalue("capsys")
    monkeypatch.setenv("IMAGEBUILDER_TOKEN", token)
    words = ["--server", url.format(server=far[1]), *far[2:]]
    assert main(["node", "ls", *words]) == status
    assert problem in capsys.readouterr().err

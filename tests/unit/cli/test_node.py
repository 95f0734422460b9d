"""`imagebuilder node`, as a user types it, and the server that follows the file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.store.layout import Layout
from serving import boot_server
from stores import add_image

MAC = "52:54:00:12:34:56"
FILE = f"""\
profiles:
  inventory: {{image: discovery, arguments: quiet}}
  storage: {{image: raid}}
nodes:
  - {{mac: "{MAC}", name: r1n7, profile: storage}}
  - {{vendor: "Dell*", profile: storage}}
default: inventory
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nodes.yml").write_text(FILE)
    layout = Layout(tmp_path / "store")
    layout.prepare()
    add_image(layout, "discovery:latest", "x")
    return layout


def test_list_is_in_the_files_order(site: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "ls", "--state", "none"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [
        [f"mac={MAC}", "r1n7", "storage", "raid:latest"],
        ["vendor=Dell*", "storage", "raid:latest"],
        ["all", "others", "inventory", "discovery:latest"],
    ]
    assert main(["node", "ls", "--json", "--state", "none"]) == 0
    assert [node["profile"] for node in json.loads(capsys.readouterr().out)["nodes"]] == [row[-2] for row in rows]


@pytest.mark.parametrize(
    ("words", "because", "is_there"),
    [
        (["r1n7"], "nodes.yml:5", False),
        ([MAC.upper()], "nodes.yml:5", False),
        (["CN7", "--vendor", "Dell Inc."], "nodes.yml:6", False),
        (["4C4C4544-0042-3510-8052-B7C04F4E4A32"], "default", True),
    ],
)
def test_show_says_which_line_decides(
    site: Layout, capsys: pytest.CaptureFixture[str], words: list[str], because: str, is_there: bool
) -> None:
    assert main(["node", "show", *words, "--json", "--store", str(site.root), "--state", "none"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["because"], shown["manifest"] is not None) == (because, is_there)


def test_boot_script_is_the_one_that_the_server_gives(site: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with boot_server(site.root, "--nodes", "nodes.yml") as server:
        mac = "52:54:00:00:00:01"
        words = [mac, "--address", f"127.0.0.1:{server.port}", "--store", str(site.root)]
        assert main(["node", "boot-script", *words]) == 0
        given = re.sub(r"nb\.(report|token)=\S+ ", "", server.get(f"/boot.ipxe?mac={mac}").body.decode())
        assert given == capsys.readouterr().out
        assert main(["node", "boot-script", "--grub", *words]) == 0
        given = re.sub(r"nb\.(report|token)=\S+ ", "", server.get(f"/grub/grub.cfg-01-{mac}").body.decode())
        assert given == capsys.readouterr().out


def test_server_follows_what_assign_writes(site: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with boot_server(site.root, "--nodes", "nodes.yml") as server:

        def script() -> bytes:
            return server.get(f"/boot.ipxe?mac={MAC}").body

        assert b"echo the store has no `raid:latest`" in script()
        assert main(["node", "assign", "r1n7", "inventory", "--state", "none"]) == 0
        assert b"MANIFEST=/v2/discovery/" in script()
        Path("nodes.yml").write_text("profiles: [")
        assert b"MANIFEST=/v2/discovery/" in script()
        assert "stays in force" in server.line("nodes.yml:1: not valid YAML")


def test_node_that_is_not_in_the_file_waits_where_only_known_ones_boot(
    site: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    with boot_server(site.root, "--nodes", "nodes.yml", "--known-only") as server:
        stranger = server.get("/boot.ipxe?mac=525400000001").body
        assert b"echo no profile is for 52:54:00:00:00:01\n" in stranger
        assert b"sleep 30\nchain --autofree --replace" in stranger
        assert b"reboot" in server.get("/grub/grub.cfg-01-52-54-00-00-00-01").body
        assert b"raid:latest" in server.get(f"/boot.ipxe?mac={MAC}").body
        assert main(["node", "ls", "--json", "--state", str(site.root.parent / "cache/serve/state.sqlite")]) == 0
        found = {node["machine"]: node["state"] for node in json.loads(capsys.readouterr().out)["nodes"]}
        assert found["52:54:00:00:00:01"] == "discovered"
        assert main(["node", "assign", "525400000001", "inventory", "--state", "none"]) == 0
        assert b"MANIFEST=/v2/discovery/" in server.get("/boot.ipxe?mac=525400000001").body


def test_node_that_nothing_is_for_is_told_so(site: Layout) -> None:
    Path("nodes.yml").write_text(FILE.replace("default: inventory", ""))
    with boot_server(site.root, "--nodes", "nodes.yml") as server:
        assert b"echo no profile is for 52:54:00:00:00:01" in server.get("/boot.ipxe?mac=525400000001").body


@pytest.mark.parametrize(
    "words",
    [
        ["node", "ls", "--nodes", "none.yml"],
        ["node", "assign", "--nodes", "none.yml", MAC, "storage", "--state", "none"],
        ["node", "assign", MAC, "none", "--state", "none"],
        ["node", "boot-script", "r1n7"],
        ["serve", "--nodes", "none.yml", "--port", "0"],
        ["serve", "--append", "quiet", "--port", "0"],
        ["serve", "--known-only", "--port", "0"],
    ],
)
def test_what_is_wrong_is_the_users_mistake(site: Layout, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--store", str(site.root)] if "assign" not in words and "ls" not in words else []
    assert main([*words, *places]) == 2
    assert "error: " in capsys.readouterr().err

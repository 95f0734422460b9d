"""What the page asks for, over real sockets: nothing of it is for others, and what is asked wrongly is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.digest import of_bytes
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state import nodes, tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.tasks import TAKE_INVENTORY, Result
from imagebuilder.store.layout import Layout
from serving import BIG, BootServer, boot_server


def ask(server: BootServer, path: str) -> Any:
    answer = server.get(f"/api/1/page/{path}", **server.operator)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"nodes/{'0' * 24}", 200),
        (f"boots/{'0' * 24}", 404),
        (f"tasks/{'0' * 24}", 404),
        ("boots?hours=24", 200),
        ("boots?hours=0", 400),
        ("boots?hours=99999999999", 400),
        ("boots?hours=%D9%A3", 400),
        ("hardware?q=x", 200),
        ("images", 200),
        ("packages?image=/etc/passwd", 404),
        (f"packages?image={'0' * 64}", 404),
        ("size?image=--help", 404),
        (f"size?image=sha256:{of_bytes(BIG)}", 404),
        ("difference?old=/etc&new=/etc", 404),
    ],
)
def test_page_is_answered_and_others_are_not(server: BootServer, path: str, status: int) -> None:
    assert server.get(f"/api/1/page/{path}").status == 401
    assert server.get(f"/api/1/page/{path}", **server.operator).status == status


def test_hardware_is_found_by_all_of_some_words(layout: Layout, tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    database = Database(str(state))
    for number, (maker, disk) in enumerate((("Acme", "Zippy 9"), ("Acme", "Slow 1"), ("Other", "Zippy 9"))):
        identity = Identity(mac=f"52:54:00:00:00:{number:02x}")
        node = database.do(partial(nodes.see, identity=identity, address="10.0.0.1", now=1))
        task = database.do(partial(tasks.queue, node_id=node.id, order=TAKE_INVENTORY, now=2))
        database.do(partial(tasks.next_for, node_id=node.id, now=3))
        disks = {"blockdevices": [{"name": "sda", "type": "disk", "model": disk}]}
        said = json.dumps({"dmi": {"sys_vendor": maker}, "disks": disks})
        database.do(partial(tasks.finish, node_id=node.id, task_id=task, result=Result(0, said, ""), now=4))
    database.close()
    with boot_server(layout.root, "--image", "discovery", "--state", state) as server:
        found = ask(server, "hardware?q=ZIPPY+acme")
        assert (found["count"], found["of"]) == (1, 3)
        assert found["nodes"][0]["lines"] == [["machine", "Acme"], ["disk", "sda Zippy 9"]]
        assert ask(server, "hardware?q=zippy")["count"] == 2
        told = ask(server, f"nodes/{found['nodes'][0]['node']}")
        assert told["hardware"] == found["nodes"][0]["lines"]
        assert ask(server, f"tasks/{told['tasks'][0]['id']}")["result"]["status"] == 0


def test_images_are_described_by_their_layers(server: BootServer) -> None:
    told = ask(server, "images")
    first, second = told["names"]
    assert (first["name"], first["signed"], second["name"], second["signed"]) == (
        *("discovery:latest", True),
        *("raid:latest", False),
    )
    layers = told["images"][first["digest"]]["layers"]
    assert [layer["kind"] for layer in layers] == ["kernel", "initrd", "base", "overlay"]
    assert ask(server, f"packages?image={first['digest']}") == {"layers": []}
    page = server.get(f"/api/1/page/size?image={first['digest']}", **server.operator)
    assert b"extra.overlay.cpio.gz" in page.body
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")

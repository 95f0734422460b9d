"""The boot server's page in a real browser, with a node that speaks the protocol of the initrd and of the agent."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from chromium import Page, chromium
from imagebuilder.store.layout import Layout
from serving import BootServer, boot_server
from stores import add_image

pytestmark = pytest.mark.web

HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
PROFILES = "profiles: {all: {image: discovery}}\n"
FOR_ALL = PROFILES + "default: all\n"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("page") / "store")
    layout.prepare()
    add_image(layout, "discovery:stable", "before")
    add_image(layout, "discovery:latest", "overlay")
    return layout


@pytest.fixture(scope="module")
def nodes_yml(layout: Layout) -> Path:
    path = layout.root.parent / "nodes.yml"
    path.write_text(FOR_ALL)
    return path


@pytest.fixture(scope="module")
def server(layout: Layout, nodes_yml: Path) -> Iterator[BootServer]:
    with boot_server(layout.root, "--nodes", nodes_yml) as server:
        yield server


def token_of(server: BootServer) -> str:
    return server.operator["Authorization"].removeprefix("Bearer ")


@pytest.fixture(scope="module")
def browser(server: BootServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab in which the operator has logged in, and which is not loaded again by itself."""
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        page.resize(1300, 900)
        page.open(f"http://127.0.0.1:{server.port}/")
        page.until("document.activeElement?.id === 'token'")
        page.type("not the token at all")
        page.key("Enter")
        page.until("document.body.innerText.includes('not the operator')")
        page.log_in(server.port, token_of(server))
        page.run("window.sameDocument = true")
        yield page


@pytest.fixture
def page(browser: Page, nodes_yml: Path) -> Iterator[Page]:
    yield browser
    nodes_yml.write_text(FOR_ALL)
    assert browser.run("window.sameDocument"), "the page was loaded again"
    assert browser.complaints == []
    browser.run("location.hash = '#/nodes'")


class Node:
    """What the initrd and the agent of a node send."""

    def __init__(self, server: BootServer, number: int) -> None:
        self.server = server
        self.mac = f"52:54:00:00:00:{number:02x}"
        self.token = ""
        self.record = b""

    def ask(self, more: str = "") -> None:
        """Its boot loader asks for its script, maybe with more that it says of itself."""
        script = self.server.get(f"/boot.ipxe?mac={self.mac}{more}").body.decode()
        found = re.search(r"nb\.token=([0-9a-f]{24})", script)
        self.token, self.record = (found[1] if found else ""), b""

    def phase(self, name: str, ms: int, **more: Any) -> None:
        self.record += json.dumps({"node": self.mac, "phase": name, "ms": ms, **more}).encode() + b"\n"
        kind = "application/x-ndjson"
        assert self.server.ask("POST", f"/report/{self.token}", self.record, Content_Type=kind).status == 204

    def log(self, text: str) -> None:
        assert self.server.ask("POST", f"/report/{self.token}", text.encode(), Content_Type="text/plain").status == 204

    def agent(self) -> str:
        """Its agent asks where tasks are."""
        path = f"/api/current/tasks/bootstrap.js?macAddress={self.mac}&token={self.token}"
        return str(json.loads(self.server.get(path).body)["tasksPath"])


def row(mac: str) -> str:
    """The text of a node's row, as an expression of the page."""
    return f"([...document.querySelectorAll('.rows .row')].find((r) => r.innerText.includes('{mac}'))?.innerText ?? '')"


def open_row(page: Page, mac: str) -> None:
    page.run(f"[...document.querySelectorAll('.rows .row')].find((r) => r.innerText.includes('{mac}')).click()")


def shows(page: Page, mac: str, *texts: str) -> None:
    """Wait for all texts to be in a node's row; an update is at most a second behind."""
    for text in texts:
        page.until(f"{row(mac)}.includes({json.dumps(text)})", seconds=10)


def test_node_is_followed_from_discovered_to_ready(page: Page, server: BootServer, nodes_yml: Path) -> None:
    nodes_yml.write_text(PROFILES)
    node = Node(server, 1)
    node.ask()
    shows(page, node.mac, "discovered", "nothing to boot")
    nodes_yml.write_text(PROFILES + f'nodes: [{{mac: "{node.mac}", name: r1n7, profile: all}}]\n')
    shows(page, node.mac, "r1n7")
    open_row(page, node.mac)
    page.until("location.hash.startsWith('#/nodes/') && document.querySelector('.panel h2').innerText === 'r1n7'")
    node.ask()
    shows(page, node.mac, "got its script")
    node.phase("kernel", 1200, detail="6.1.0")
    node.phase("network", 2500, detail="eth0 10.0.0.7")
    shows(page, node.mac, "booting", "network", "12 B of 23 B")
    node.phase("fetch", 3000, bytes=4)
    shows(page, node.mac, "fetch", "16 B of 23 B")
    node.phase("fetch", 3100, bytes=7)
    node.phase("switch", 4000)
    shows(page, node.mac, "started", "booted in 4.0 s")
    tasks = node.agent()
    shows(page, node.mac, "ready")
    page.until("document.querySelectorAll('.panel .timeline li').length === 5")
    given = json.loads(server.get(tasks).body)
    inventory = json.dumps({"dmi": {"sys_vendor": "Acme <b>", "product_name": "Rocket"}, "memory": 2_000_000_000})
    answer = {"identifier": given["identifier"], "tasks": [{"stdout": inventory, "stderr": "", "error": None}]}
    assert server.ask("POST", tasks, json.dumps(answer).encode()).status == 201
    page.until("document.querySelector('.panel').innerText.includes('Acme <b> Rocket')")
    page.run("document.querySelector('.panel .run input').focus()")
    page.type("echo hello")
    page.key("Enter")
    page.until("document.querySelector('.panel .task summary').innerText.includes('echo hello')")
    given = json.loads(server.get(tasks).body)
    page.until("document.querySelector('.panel .task[data-state=given]')")
    page.run("document.querySelector('.panel .task').open = true")
    server.ask("POST", f"{tasks}/{given['identifier']}/stdout?start=0", b"hel")
    page.until("document.querySelector('.panel .output').innerText.includes('hel')")
    answer = {"identifier": given["identifier"], "tasks": [{"stdout": "hello<i>", "stderr": "", "error": None}]}
    assert server.ask("POST", tasks, json.dumps(answer).encode()).status == 201
    page.until("document.querySelector('.panel .output').innerText.includes('hello<i>')")
    page.run("location.hash = '#/hardware'")
    page.until("document.querySelector('.catalog')?.innerText.includes('Rocket')")
    page.run("(document.querySelector('input[type=search]').focus(), 1)")
    page.type("rocket 3tb")
    page.until("document.querySelector('.page').innerText.includes('0 of 1 node')")


def test_node_with_a_damaged_layer_shows_its_code_with_an_explanation_and_its_log(
    page: Page, server: BootServer
) -> None:
    node = Node(server, 2)
    node.ask()
    node.phase("kernel", 1000)
    node.phase("error", 9000, code="NB-DIGEST", detail="base.squashfs.img has sha256 12, and should have 34")
    node.log("<3>[ 9.0] nb: error=NB-DIGEST")
    shows(page, node.mac, "failed", "NB-DIGEST: a file is not what its manifest")
    open_row(page, node.mac)
    told = "document.querySelector('.panel').innerText"
    for text in ("the server's file is damaged", "and should have 34", "<3>[ 9.0] nb: error"):
        page.until(f"{told}.includes({json.dumps(text)})")
    node.ask()  # it has restarted
    shows(page, node.mac, "got its script")
    page.until("document.querySelector('.failure').hidden")


def test_what_a_hostile_node_says_is_shown_as_text(page: Page, server: BootServer) -> None:
    node = Node(server, 3)
    node.ask(f"&serial={quote(HOSTILE)}&vendor={quote(HOSTILE)}&model={quote(HOSTILE)}")
    node.phase(HOSTILE[:32], 10, detail=HOSTILE)
    node.phase("error", 20, code=HOSTILE[:32], detail=HOSTILE)
    node.log(HOSTILE)
    shows(page, node.mac, HOSTILE[:32])
    open_row(page, node.mac)
    page.until(f"document.querySelector('.panel pre')?.innerText === {json.dumps(HOSTILE)}")
    assert HOSTILE in page.run("document.querySelector('.panel .facts').innerText")
    assert page.run("document.querySelectorAll('main img, main script').length") == 0
    assert page.run("document.title") == "imagebuilder"


def test_page_may_run_no_script_but_its_own(server: BootServer) -> None:
    policy = server.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    for name in ("app.js", "style.css", "icon.svg"):
        assert server.get(f"/page/{name}").status == 200
    assert not re.findall(r"https?://|<script>|style=|\son\w+=", server.get("/").body.decode())
    for path in ("/page/none.js", "/page/..%2fapp.py", "/page/index.html"):
        assert server.get(path).status == 404


def test_all_of_it_is_reached_by_keys(page: Page, server: BootServer) -> None:
    for number in (4, 5):
        Node(server, number).ask()
        shows(page, f"00:{number:02x}")
        page.until(f"{row(f'00:{number:02x}')} !== ''")
    page.key("/")
    assert page.run("document.activeElement.type") == "search"
    page.type("00:0")
    page.key("ArrowDown")
    assert page.run("document.activeElement.getAttribute('role')") == "listbox"
    page.key("End")
    marked = "document.querySelector('.rows [aria-selected=true]')?.innerText.includes"
    page.until(f"{marked}('00:05')")
    page.key("ArrowUp")
    page.until(f"{marked}('00:04')")
    page.key("Enter")
    page.until("document.querySelector('.panel h2')?.innerText.endsWith('00:04')")
    page.key("Escape")
    page.until("document.querySelector('.panel').hidden")
    assert page.run("document.activeElement.getAttribute('role')") == "listbox"
    for key, name in (("3", "tasks"), ("4", "hardware"), ("2", "images"), ("1", "nodes")):
        page.key(key)
        page.until(f"location.hash === '#/{name}'")
    page.key("?")
    page.until("document.querySelector('dialog').open")
    page.key("Escape")
    page.until("!document.querySelector('dialog').open")


def test_error_in_nodes_yml_stays_on_the_page_until_it_is_mended(page: Page, nodes_yml: Path) -> None:
    nodes_yml.write_text(PROFILES + "default: al\n")
    page.until("document.querySelector('#problem').innerText.includes('there is no profile `al`')")
    assert "stays in force" in page.run("document.querySelector('#problem').innerText")
    nodes_yml.write_text(FOR_ALL)
    page.until("document.querySelector('#problem').hidden")


def test_images_are_shown_and_compared(page: Page, layout: Layout) -> None:
    page.run("location.hash = '#/images'")
    page.until("document.querySelectorAll('.image-row').length === 2")
    add_image(layout, "raid:latest", "raid")
    page.until("document.querySelectorAll('.image-row').length === 3")
    page.run("document.querySelector('.image-row').click()")
    page.until("document.querySelector('.page table')?.innerText.includes('vmlinuz-6.1')")
    page.run("document.querySelector('.difference button').click()")
    page.until("document.querySelector('.difference').innerText.includes('base.squashfs.img equal')")
    assert "extra.overlay.cpio.gz differs" in page.run("document.querySelector('.difference').innerText")


@pytest.mark.parametrize("view", ["nodes", "images", "tasks", "hardware", "node"])
def test_page_is_as_wide_as_a_phone(page: Page, server: BootServer, view: str) -> None:
    node = Node(server, 2)
    node.ask(f"&model={'M' * 120}")
    node.phase("error", 1, code="NB-DIGEST", detail="x" * 300)
    page.resize(360, 740)
    try:
        if view == "node":
            page.until(f"{row(node.mac)} !== ''")
            open_row(page, node.mac)
            page.until("document.querySelector('.panel .timeline')")
        else:
            page.run(f"location.hash = '#/{view}'")
            page.until(f"document.querySelector('nav [aria-current]').hash === '#/{view}'")
        time.sleep(0.3)
        assert page.run("document.documentElement.scrollWidth") == 360
    finally:
        page.resize(1300, 900)


def test_page_goes_on_when_the_server_comes_back(layout: Layout, tmp_path: Path) -> None:
    state = ("--image", "discovery", "--state", tmp_path / "state.sqlite")
    with boot_server(layout.root, *state) as server, chromium(tmp_path / "chromium") as page:
        Node(server, 1).ask()
        page.log_in(server.port, token_of(server))
        shows(page, "00:01", "got its script")
        server.process.kill()
        server.process.wait()
        page.until("document.querySelector('#connection').innerText === 'reconnecting'")
        with boot_server(layout.root, *state, "--port", server.port) as again:
            Node(again, 6).ask()
            shows(page, "00:06", "got its script")

"""Registries that lie, break off, send elsewhere or want a token: nothing false gets in, no password gets out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from imagebuilder.errors import ImagebuilderError, RegistryError
from imagebuilder.host import clock
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import BASE, MANIFEST_TYPE, Layer, Manifest, descriptor
from imagebuilder.store.referrers import attach, referrers
from imagebuilder.store.registry.client import Repository
from imagebuilder.store.registry.pull import Pull, pull
from imagebuilder.store.registry.push import Push, push
from imagebuilder.store.registry.transport import MANIFEST_BYTES, Site, Transport
from registries import USER, Answering, Reply, false_registry, nothing
from stores import SPDX, add_image

NAME = "extra:latest"
WANTS_BASIC = Reply(401, headers=(("WWW-Authenticate", 'Basic realm="tests"'),))


@dataclass
class Liar:
    """A registry whose repository `x` has what a store has, but for what a test has it say."""

    layout: Layout
    port: int = 0
    lies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> Reply:
        path = urlsplit(request.path).path.removeprefix("/v2/x/")
        self.asked.append((f"{request.command} {path}", request.headers.get("Authorization", "")))
        if path in self.lies:
            return self.lies[path]
        sha256 = path.partition("sha256:")[2]
        if path == "manifests/latest":
            sha256 = read_index(self.layout).names[NAME].sha256
        known = sha256 and not path.startswith("referrers") and self.layout.has(sha256)
        return Reply(200, self.layout.read(sha256)) if known else Reply(404)

    def repository(self) -> Repository:
        return Repository(Transport(Site(f"127.0.0.1:{self.port}", plain_http=True, credentials=USER)), "x")

    def pull(self, store: Layout, reference: str = "latest") -> Blob:
        return pull(Pull(store, self.repository(), nothing), reference)[0]


@pytest.fixture
def liar(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    monkeypatch.setattr(clock, "sleep", lambda _: None)
    add_image(layout, NAME, "overlay")
    registry = Liar(layout)
    with false_registry(registry.answer) as registry.port:
        yield registry


def _manifest(liar: Liar) -> Blob:
    return read_index(liar.layout).names[NAME]


def _base(liar: Liar) -> Blob:
    return Manifest.from_bytes(liar.layout.read(_manifest(liar).sha256)).of_type(BASE).blob


def test_honest_registry_is_pulled_from(liar: Liar, there: Layout) -> None:
    assert liar.pull(there) == _manifest(liar)


def test_other_manifest_than_the_digest_says_is_refused(liar: Liar, there: Layout) -> None:
    other = add_image(liar.layout, "other:latest", "bad overlay")
    wanted = _manifest(liar).digest
    liar.lies[f"manifests/{wanted}"] = Reply(200, liar.layout.read(other.sha256))
    with pytest.raises(RegistryError, match=f"something else than {wanted}"):
        liar.pull(there, wanted)
    assert there.total() == (0, 0)


def test_other_manifest_than_the_registry_itself_says_is_refused(liar: Liar, there: Layout) -> None:
    data = liar.layout.read(_manifest(liar).sha256)
    headers = (("Docker-Content-Digest", f"sha256:{'0' * 64}"),)
    liar.lies["manifests/latest"] = Reply(200, data, headers)
    with pytest.raises(RegistryError, match="something else than sha256:0000"):
        liar.pull(there)


def test_manifest_of_any_size_is_not_read(liar: Liar, there: Layout) -> None:
    liar.lies["manifests/latest"] = Reply(200, b"x" * (MANIFEST_BYTES + 1))
    with pytest.raises(RegistryError, match="more than"):
        liar.pull(there)


FALSE_BLOBS = (
    Reply(200, b"BASE"),
    Reply(200, b"base and more, and more, and more"),
    Reply(200, b"bas"),
    Reply(200, b"bas", (("Content-Length", "4"), ("Connection", "close"))),
    Reply(206, b"base", (("Content-Range", "bytes 4-7/8"),)),
    Reply(404),
    Reply(500, b"no JSON"),
    Reply(500, b'{"errors": [{"code": "UNKNOWN", "message": "the disk is full"}]}'),
)


@pytest.mark.parametrize("reply", FALSE_BLOBS)
def test_false_blob_does_not_get_in_and_the_right_one_does_later(liar: Liar, there: Layout, reply: Reply) -> None:
    base = _base(liar)
    liar.lies[f"blobs/{base.digest}"] = reply
    with pytest.raises(RegistryError):
        liar.pull(there)
    assert not there.has(base.sha256)
    assert not there.has(_manifest(liar).sha256)
    liar.lies.clear()
    assert liar.pull(there) == _manifest(liar)


def test_what_the_registry_says_is_wrong_is_told(liar: Liar, there: Layout) -> None:
    liar.lies["manifests/latest"] = FALSE_BLOBS[-1]
    with pytest.raises(RegistryError, match=r"answers 500 to GET /v2/x/manifests/latest: the disk is full"):
        liar.pull(there)


@pytest.mark.parametrize("title", ["../../etc/cron.d/x", "/etc/passwd"])
def test_image_that_would_write_elsewhere_is_refused_before_anything_is_fetched(
    liar: Liar, there: Layout, title: str
) -> None:
    data = Manifest((Layer(BASE, title, _base(liar)),), "").to_bytes()
    liar.lies["manifests/latest"] = Reply(200, data)
    with pytest.raises(ImagebuilderError, match="no file name"):
        liar.pull(there)
    assert [path for path, _ in liar.asked] == ["GET manifests/latest"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"manifests": [{}]}', b'{"manifests": 1}'])
def test_garbled_list_of_what_is_attached_is_an_error(liar: Liar, there: Layout, body: bytes) -> None:
    liar.lies[f"referrers/{_manifest(liar).digest}"] = Reply(200, body)
    with pytest.raises(RegistryError, match="is no index"):
        liar.pull(there)


def test_registry_that_lists_what_is_attached_is_asked_for_it_and_not_written_a_list(liar: Liar, there: Layout) -> None:
    subject, document = _manifest(liar), Layer(SPDX, "a.json", liar.layout.put(b"list"))
    about = attach(liar.layout, subject, SPDX, [document])
    entry = {**descriptor(MANIFEST_TYPE, about), "artifactType": SPDX}
    liar.lies[f"referrers/{subject.digest}"] = Reply(200, json.dumps({"manifests": [entry]}).encode())
    liar.pull(there)
    assert [referrer.files for referrer in referrers(there, subject)] == [(document,)]

    liar.lies["manifests/latest"] = Reply(201)
    liar.lies[f"manifests/{about.digest}"] = Reply(201, headers=(("OCI-Subject", subject.digest),))
    push(Push(liar.layout, liar.repository(), nothing), subject, "latest")
    assert "PUT manifests/latest" in dict(liar.asked)
    assert f"PUT manifests/sha256-{subject.sha256}" not in dict(liar.asked)


def test_registry_that_does_not_say_where_to_send_a_blob_is_an_error(liar: Liar) -> None:
    liar.lies[f"blobs/{_base(liar).digest}"] = Reply(404)
    liar.lies["blobs/uploads/"] = Reply(202)
    with pytest.raises(RegistryError, match="does not say where"):
        push(Push(liar.layout, liar.repository(), nothing), _manifest(liar), "latest")


def _elsewhere(asked: list[str], content: bytes) -> Answering:
    def answer(request: BaseHTTPRequestHandler) -> Reply:
        asked.append(request.headers.get("Authorization", ""))
        return Reply(200, content)

    return answer


def test_blob_may_come_from_elsewhere_where_the_password_does_not_go(liar: Liar, there: Layout) -> None:
    asked: list[str] = []
    liar.lies["manifests/latest"] = WANTS_BASIC
    with pytest.raises(RegistryError, match="401"):
        liar.pull(there)
    assert [authorization for _, authorization in liar.asked] == ["", USER.basic]
    del liar.lies["manifests/latest"]
    with false_registry(_elsewhere(asked, b"base")) as port:
        location = f"http://localhost:{port}/bucket/base?signature=1"
        liar.lies[f"blobs/{_base(liar).digest}"] = Reply(307, headers=(("Location", location),))
        repository = liar.repository()
        repository._transport._authorization = USER.basic
        pull(Pull(there, repository, nothing), "latest")
    assert there.read(_base(liar).sha256) == b"base"
    assert asked == [""]


def test_server_elsewhere_that_asks_for_the_password_does_not_get_it(liar: Liar, there: Layout) -> None:
    asked: list[str] = []

    def greedy(request: BaseHTTPRequestHandler) -> Reply:
        asked.append(request.headers.get("Authorization", ""))
        return WANTS_BASIC

    with false_registry(greedy) as port:
        location = f"http://localhost:{port}/bucket/base"
        liar.lies[f"blobs/{_base(liar).digest}"] = Reply(307, headers=(("Location", location),))
        with pytest.raises(RegistryError, match="401"):
            liar.pull(there)
    assert asked == ["", ""]


def test_token_is_fetched_for_the_password_and_sent_to_the_registry(liar: Liar, there: Layout) -> None:
    asked: list[tuple[dict[str, list[str]], str]] = []

    def give_token(request: BaseHTTPRequestHandler) -> Reply:
        asked.append((parse_qs(urlsplit(request.path).query), request.headers.get("Authorization", "")))
        return Reply(200, b'{"token": "a-token"}')

    def guard(request: BaseHTTPRequestHandler) -> Reply:
        if request.headers.get("Authorization") == "Bearer a-token":
            return liar.answer(request)
        challenge = f'Bearer realm="http://127.0.0.1:{tokens}/token",service="r",scope="repository:x:pull"'
        return Reply(401, headers=(("WWW-Authenticate", challenge),))

    with false_registry(give_token) as tokens, false_registry(guard) as port:
        site = Site(f"127.0.0.1:{port}", plain_http=True, credentials=USER)
        pull(Pull(there, Repository(Transport(site), "x"), nothing), "latest")
    assert asked == [({"service": ["r"], "scope": ["repository:x:pull"]}, USER.basic)]


@pytest.mark.parametrize("reply", [Reply(401), Reply(200, b"{}"), Reply(200, b"[]"), Reply(200, b"no JSON")])
def test_server_that_gives_no_token_is_told(reply: Reply) -> None:
    with false_registry(lambda _: reply) as port:
        transport = Transport(Site("r.example.net", plain_http=True, credentials=USER))
        with pytest.raises(RegistryError, match="gives no token"):
            transport._token(f"http://127.0.0.1:{port}/token", {})


def test_password_is_not_sent_in_clear_for_a_token() -> None:
    with pytest.raises(RegistryError, match="in clear"):
        Transport(Site("r.example.net", credentials=USER))._token("http://r.example.net/token", {})

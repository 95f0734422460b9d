"""The fault matrix: everything that may go wrong between a node and its servers, how it ends, and how soon.

A boot is /init itself in a mount namespace (tests/initrd_jail.py); its second is a twentieth of one.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hostile import Trouble, hostile
from imagebuilder.digest import of_bytes
from imagebuilder.steps.cpio import Member, Source
from imagebuilder.store.manifest import BASE, OVERLAYS, Layer, Manifest
from initrd_jail import (
    BASE_NAME,
    FOREIGN_KEY,
    KEY,
    NEXT_KEY,
    OVERLAY_NAME,
    SINCE,
    Ended,
    Image,
    Jail,
    layer,
    overlay_of,
    trust,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

MANIFEST, SIGNATURE = "/discovery.manifest.json", "/discovery.manifest.json.minisig"
BASE_PATH, OVERLAY_PATH = f"/{BASE_NAME}", f"/{OVERLAY_NAME}"
BY_NAME = f"BASEFS={BASE_PATH} OVERLAYFS={OVERLAY_PATH}"
HALF = 200_000
Files = Mapping[str, bytes]
Troubles = Mapping[str, Trouble]
SMALL_NODE = "MemTotal: 100000 kB\nMemAvailable: 90000 kB"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: what the servers have (made from the image that is right), what is wrong with them, how it ends.

    Each of `servers` is what goes wrong with one of them; None is one that is not there. `trusted` is the
    folder of keys: `keys`, `next`, `none`.
    """

    ends: str
    seconds: float
    files: Callable[[Image], Files] = lambda image: image.files
    servers: Sequence[Troubles | None] = ({},)
    arguments: str = f"MANIFEST={MANIFEST}"
    check: str = "cat /newroot/etc/base /newroot/etc/overlay"
    trusted: str = ""
    meminfo: str = ""
    says: str = ""


def _with(**contents: bytes) -> Callable[[Image], Files]:
    """The files with other contents; in a name `_` stands for the base, `o` for the overlay, `m`, `s` as they say."""
    paths = {"base": BASE_PATH, "overlay": OVERLAY_PATH, "manifest": MANIFEST, "signature": SIGNATURE}
    paths |= {"sums": "/SHA256SUMS", "sums_signature": "/SHA256SUMS.minisig"}
    return lambda image: {**image.files, **{paths[name]: content for name, content in contents.items()}}


def _without(*paths: str) -> Callable[[Image], Files]:
    return lambda image: {path: content for path, content in image.files.items() if path not in paths}


def _signed(key: object = KEY, **fields: str) -> Callable[[Image], Files]:
    return lambda image: image.signed(key, **fields)  # type: ignore[arg-type]


def _layers(change: Callable[[Manifest], Sequence[Layer]]) -> Callable[[Image], Files]:
    """Files whose manifest, signed as it should be, has other layers."""
    return lambda image: image.signed(manifest=replace(image.manifest, layers=tuple(change(image.manifest))))


def _swapped(image: Image) -> Files:
    return {**image.files, BASE_PATH: image.files[OVERLAY_PATH], OVERLAY_PATH: image.files[BASE_PATH]}


def _hostile_overlay(*sources: Source) -> Callable[[Image], Files]:
    """An overlay that was signed with what it should not have in it."""
    data = overlay_of(*sources)

    def files(image: Image) -> Files:
        layers = (*image.manifest.layers[:3], layer(OVERLAYS["cpio.gz"], OVERLAY_NAME, data))
        return {**image.signed(manifest=replace(image.manifest, layers=layers)), OVERLAY_PATH: data}

    return files


def _text(manifest: Callable[[bytes], bytes]) -> Callable[[Image], Files]:
    """A manifest of another text, signed."""

    def files(image: Image) -> Files:
        data = manifest(image.files[MANIFEST])
        fields = {"timestamp": str(SINCE + 1), "file": "discovery.manifest.json"}
        return {**image.files, MANIFEST: data, SIGNATURE: KEY.sign(data, fields).encode()}

    return files


def _sums_signed(text: str, **fields: str) -> Callable[[Image], Files]:
    signature = KEY.sign(text.encode(), {"timestamp": str(SINCE + 1), "file": "SHA256SUMS", **fields})
    return _with(sums=text.encode(), sums_signature=signature.encode())


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 3]


def _flip(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 4]) + content[1001:]


def _flip_early(content: bytes) -> bytes:
    return content[:90] + bytes([content[90] ^ 1]) + content[91:]


def _longer(content: bytes) -> bytes:
    return content + bytes(5000)


def _same_size(content: bytes) -> bytes:
    return bytes(len(content))


def _file(name: str, content: str = "x", mode: int = 0o644) -> Source:
    return Source(Member(name.encode(), stat.S_IFREG | mode, size=len(content)), content.encode())


ONCE, TWICE = 1, 2
QUICK, FEW, LONG = 8, 15, 40  # seconds on a busy machine

CASES: Mapping[str, Case] = {
    # Where the image comes from
    "manifest by path": Case("booted", QUICK),
    "manifest by name": Case("booted", QUICK, arguments="MANIFEST=discovery"),
    "manifest by channel": Case("booted", QUICK, arguments="MANIFEST=discovery:stable"),
    "manifest by path of a registry": Case("booted", QUICK, arguments="MANIFEST=/v2/discovery/manifests/stable"),
    "manifest by digest": Case("booted", QUICK, arguments="MANIFEST=sha256:{manifest}"),
    "manifest by digest that the server has not": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=sha256:" + 64 * "0"),
    "another manifest under a digest": Case(
        "NB-DIGEST",
        FEW,
        files=lambda image: {**image.files, "/blobs/sha256/" + 64 * "0": image.files[MANIFEST]},
        arguments="MANIFEST=sha256:" + 64 * "0",
    ),
    "layers by name under signed sums": Case("booted", QUICK, arguments=BY_NAME),
    "no such manifest": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=/nothing.manifest.json"),
    "nothing to boot": Case("NB-ARGUMENT", FEW, arguments=""),
    "no server": Case("NB-ARGUMENT", FEW, arguments=f"MANIFEST={MANIFEST} API_CB="),
    "https": Case("NB-ARGUMENT", FEW, arguments="MANIFEST=https://server/discovery.manifest.json"),
    # Keys and signatures
    "signed by the next key": Case("booted", QUICK, files=_signed(NEXT_KEY)),
    "signed by a foreign key": Case("NB-SIGNATURE", FEW, files=_signed(FOREIGN_KEY)),
    "signed by the old key when only the next is trusted": Case("NB-SIGNATURE", FEW, trusted="next"),
    "no signature": Case("NB-UNSIGNED", FEW, files=_without(SIGNATURE)),
    "empty signature": Case("NB-SIGNATURE", FEW, files=_with(signature=b"")),
    "signature of another manifest": Case("NB-SIGNATURE", FEW, files=_with(manifest=b"{}")),
    "signature of a megabyte": Case("NB-FETCH", LONG, files=_with(signature=bytes(1_000_000))),
    "manifest of two megabytes": Case("NB-FETCH", LONG, files=_with(manifest=bytes(2_000_000))),
    "image signed under another name": Case("NB-NAME", FEW, files=_signed(file="secure-erase.manifest.json")),
    "expired": Case("NB-EXPIRED", FEW, files=_signed(expires=str(SINCE + 2))),
    "not expired": Case("booted", QUICK, files=_signed(expires="9999999999")),
    "signed before the initrd's packages": Case("NB-ROLLBACK", FEW, files=_signed(timestamp=str(SINCE - 1))),
    "signed before nb.manifest_min": Case(
        "NB-ROLLBACK", FEW, arguments=f"MANIFEST={MANIFEST} nb.manifest_min={SINCE + 2}"
    ),
    "nb.manifest_min below the initrd's": Case(
        "NB-ROLLBACK", FEW, files=_signed(timestamp=str(SINCE - 1)), arguments=f"MANIFEST={MANIFEST} nb.manifest_min=1"
    ),
    "nb.manifest_min that is no number": Case("NB-ARGUMENT", FEW, arguments="nb.manifest_min=now"),
    "signature without a time": Case("NB-SIGNATURE", FEW, files=_signed(timestamp="")),
    "signature with a huge time": Case("NB-SIGNATURE", FEW, files=_signed(timestamp=30 * "9")),
    "signature with an expiry that is no number": Case("NB-SIGNATURE", FEW, files=_signed(expires="never")),
    "signature that names the shell": Case("NB-NAME", FEW, files=_signed(file="$(reboot)")),
    "unsigned initrd boots, and says so": Case(
        "booted", QUICK, files=_without(SIGNATURE), trusted="none", says="UNSIGNED: this initrd trusts no keys"
    ),
    "unsigned initrd checks digests all the same": Case(
        "NB-DIGEST", FEW, servers=[{BASE_PATH: Trouble(body=_flip)}], trusted="none"
    ),
    "unsigned initrd without sums": Case(
        "booted", QUICK, files=_without("/SHA256SUMS"), arguments=BY_NAME, trusted="none", says="UNCHECKED"
    ),
    # Sums
    "no sums": Case("NB-NOT-FOUND", FEW, files=_without("/SHA256SUMS"), arguments=BY_NAME),
    "unsigned sums": Case("NB-UNSIGNED", FEW, files=_without("/SHA256SUMS.minisig"), arguments=BY_NAME),
    "changed sums": Case("NB-SIGNATURE", FEW, servers=[{"/SHA256SUMS": Trouble(body=_flip_early)}], arguments=BY_NAME),
    "sums without the layer": Case("NB-UNSIGNED", FEW, files=_sums_signed(f"{64 * '0'}  x\n"), arguments=BY_NAME),
    "sums that say otherwise": Case(
        "NB-DIGEST",
        FEW,
        files=_sums_signed("".join(f"{64 * '0'}  {n}\n" for n in (BASE_NAME, OVERLAY_NAME))),
        arguments=BY_NAME,
    ),
    "expired sums": Case("NB-EXPIRED", FEW, files=_sums_signed("", expires="1700000009"), arguments=BY_NAME),
    "a signed manifest for sums": Case(
        "NB-NAME",
        FEW,
        arguments=BY_NAME,
        files=lambda image: {
            **image.files,
            "/SHA256SUMS": image.files[MANIFEST],
            "/SHA256SUMS.minisig": image.files[SIGNATURE],
        },
    ),
    # What a manifest may say
    "signed file that is no manifest": Case("NB-MANIFEST", FEW, files=_text(lambda _: b'{"layers": []}')),
    "manifest with more after its end": Case("NB-MANIFEST", FEW, files=_text(lambda text: text + b"\n{}")),
    "manifest that is cut": Case("NB-MANIFEST", FEW, files=_text(lambda text: text[:-3])),
    "manifest on one line": Case("NB-MANIFEST", FEW, files=_text(lambda text: text.replace(b"\n", b" "))),
    "title with a path": Case("NB-MANIFEST", FEW, files=_text(lambda t: t.replace(BASE_NAME.encode(), b"../base"))),
    "title with a quote": Case("NB-MANIFEST", FEW, files=_text(lambda t: t.replace(BASE_NAME.encode(), b'\\"$(x)'))),
    "negative size": Case("NB-MANIFEST", FEW, files=_text(lambda text: text.replace(b'"size": 4', b'"size": -4'))),
    "another algorithm": Case("NB-MANIFEST", FEW, files=_text(lambda text: text.replace(b"sha256:", b"sha512:"))),
    "manifest without a base": Case("NB-MANIFEST", FEW, files=_layers(lambda manifest: manifest.layers[:2])),
    "overlay below the base": Case(
        "NB-MANIFEST",
        FEW,
        files=_layers(lambda manifest: (*manifest.layers[:2], manifest.layers[3], manifest.layers[2])),
    ),
    "two bases": Case("NB-MANIFEST", FEW, files=_layers(lambda manifest: (*manifest.layers, manifest.layers[2]))),
    # Layers that are not what they should be
    "flipped bit in the base": Case("NB-DIGEST", FEW, servers=[{BASE_PATH: Trouble(body=_flip)}]),
    "flipped bit in the overlay": Case("NB-DIGEST", FEW, servers=[{OVERLAY_PATH: Trouble(body=_flip)}]),
    "flipped bit on the way, once": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, body=_flip)}]),
    "damaged mirror before a good one": Case("booted", FEW, servers=[{BASE_PATH: Trouble(body=_flip)}, {}]),
    "flipped bit in the manifest, once": Case("booted", FEW, servers=[{MANIFEST: Trouble(ONCE, body=_flip_early)}]),
    "old signature while a channel moves": Case(
        "booted", FEW, servers=[{SIGNATURE: Trouble(ONCE, body=lambda _: FOREIGN_KEY.sign(b"", {}).encode())}]
    ),
    "truncated base": Case("NB-FETCH", LONG, servers=[{BASE_PATH: Trouble(body=_cut)}]),
    "truncated base, once": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, body=_cut)}]),
    "longer base": Case("NB-FETCH", LONG, servers=[{BASE_PATH: Trouble(body=_longer)}]),
    "zeros instead of the base": Case("NB-DIGEST", FEW, servers=[{BASE_PATH: Trouble(body=_same_size)}]),
    "swapped layers": Case("NB-FETCH", LONG, files=_swapped),
    "page of a captive portal": Case("NB-SIGNATURE", FEW, servers=[{"*": Trouble(body=lambda _: b"<html>log in")}]),
    "overlay with ..": Case("NB-UNPACK", FEW, files=_hostile_overlay(_file("../etc/passwd"))),
    "overlay through a link": Case(
        "NB-UNPACK",
        FEW,
        files=_hostile_overlay(Source(Member(b"a", stat.S_IFLNK | 0o777, size=4), b"/usr"), _file("a/x")),
    ),
    "overlay that is no archive": Case(
        "NB-FORMAT",
        FEW,
        check="true",
        files=lambda image: {
            **image.signed(
                manifest=replace(
                    image.manifest,
                    layers=(*image.manifest.layers[:3], layer(OVERLAYS["cpio.gz"], OVERLAY_NAME, b"<html>")),
                )
            ),
            OVERLAY_PATH: b"<html>",
        },
    ),
    "base that is no squashfs": Case(
        "NB-MOUNT",
        FEW,
        files=lambda image: {
            **image.signed(manifest=replace(image.manifest, layers=(layer(BASE, BASE_NAME, b"<html>"),))),
            BASE_PATH: b"<html>",
        },
    ),
    # Servers and networks
    "404 for the base": Case("NB-NOT-FOUND", FEW, files=_without(BASE_PATH)),
    "403 for the base": Case("NB-FETCH", FEW, servers=[{BASE_PATH: Trouble(status=403)}]),
    "500 for ever": Case("NB-FETCH", LONG, servers=[{"*": Trouble(status=500)}]),
    "500 twice": Case("booted", FEW, servers=[{BASE_PATH: Trouble(TWICE, status=500)}]),
    "503 with Retry-After": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, status=503, headers={"Retry-After": "10"})}]
    ),
    "503 that wants an hour, once": Case(
        "booted", LONG, servers=[{OVERLAY_PATH: Trouble(ONCE, status=503, headers={"Retry-After": "3600"})}]
    ),
    "503 with a Retry-After that is no number": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, status=503, headers={"Retry-After": "soon"})}]
    ),
    "429": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, status=429)}]),
    "307 to another place": Case(
        "booted",
        QUICK,
        servers=[{BASE_PATH: Trouble(status=307, headers={"Location": "/elsewhere"})}],
        files=lambda image: {**image.files, "/elsewhere": image.files[BASE_PATH]},
    ),
    "redirects in a circle": Case(
        "NB-FETCH", FEW, servers=[{BASE_PATH: Trouble(status=302, headers={"Location": BASE_PATH})}]
    ),
    "stall at 50 %": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, sent=HALF, silent=60)}]),
    "silence from the first byte": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, sent=0, silent=60)}]),
    "stall at 50 % of one server, and another": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(sent=HALF, silent=60)}, {}]
    ),
    "reset every 100 KB": Case("booted", FEW, servers=[{BASE_PATH: Trouble(sent=100_000)}]),
    "reset every 10 KB, no Range": Case("NB-FETCH", LONG, servers=[{BASE_PATH: Trouble(sent=10_000, whole=True)}]),
    "Content-Length too small": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, length=str(HALF))}]),
    "Content-Length too large": Case("booted", FEW, servers=[{BASE_PATH: Trouble(length="999999999")}]),
    "no Content-Length, and half of it": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, sent=HALF, length="")}]
    ),
    "server dies and comes back": Case("booted", LONG, servers=[{"*": Trouble(3, sent=0)}]),
    "first server dead": Case("booted", FEW, servers=[None, {}]),
    "two of three servers dead": Case("booted", FEW, servers=[None, None, {}]),
    "all servers dead": Case("NB-FETCH", LONG, servers=[None, None]),
    "first server has nothing": Case("booted", FEW, servers=[{"*": Trouble(status=404)}, {}]),
    "every server lacks another layer": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(status=404)}, {OVERLAY_PATH: Trouble(status=410)}]
    ),
    # The node
    "too little RAM": Case("NB-MEMORY", FEW, meminfo=SMALL_NODE, says="the image needs 98 MB of RAM"),
    "arguments with quotes and odd characters": Case(
        "booted",
        QUICK,
        arguments=f"""x="y MANIFEST=/no" $(reboot) `reboot` * ? 'a ;& | "MANIFEST={MANIFEST}" \\ quiet""",
    ),
    "nb.onfail that nobody knows": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=/no nb.onfail=dance"),
    "nb.onfail=shell": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=/no nb.onfail=shell", says="a shell"),
    "nb.onfail=reboot:1": Case(
        "NB-NOT-FOUND", FEW, arguments="MANIFEST=/no nb.onfail=reboot:1", says="the node restarts in 1 s"
    ),
    "nb.onfail=retry boots in the end": Case(
        "booted",
        LONG,
        servers=[{OVERLAY_PATH: Trouble(ONCE, status=404)}],
        arguments=f"MANIFEST={MANIFEST} nb.onfail=retry",
        says="error=NB-NOT-FOUND",
    ),
}


@dataclass(frozen=True, slots=True)
class World:
    """What all cases share."""

    jail: Jail
    image: Image
    trusts: Mapping[str, Path] = field(default_factory=dict)

    def run(self, case: Case) -> Ended:
        """Boot with everything as the case says."""
        with ExitStack() as stack:
            files = case.files(self.image)
            servers = [stack.enter_context(hostile(files, s)).address if s is not None else "127.0.0.1:9"
                       for s in case.servers]  # fmt: skip
            given = case.arguments.replace("{manifest}", of_bytes(self.image.files[MANIFEST]))
            first, *others = servers
            trusted = self.trusts[case.trusted] if case.trusted else None
            arguments = f"API_CB={first} SERVERS={','.join(others)} {given}"
            return self.jail.boot(arguments, check=case.check, meminfo=case.meminfo, trust=trusted)


@pytest.fixture(scope="module")
def world(initrd_jail: Jail, initrd_image: Image, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("trusts")
    trusts = {"none": trust(folder / "none", ()), "next": trust(folder / "next", (NEXT_KEY,))}
    return World(initrd_jail, initrd_image, trusts)


@pytest.fixture(scope="module")
def boots(world: World, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Ended]]]:
    """All selected cases, a few at a time: most of them wait for something."""
    selected = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield {name: pool.submit(world.run, case) for name, case in CASES.items() if name in selected}


@pytest.mark.parametrize("name", CASES)
def test_fault(name: str, boots: dict[str, Future[Ended]]) -> None:
    case, ended = CASES[name], boots[name].result()
    said = "\n".join(ended.lines)
    assert ended.code == case.ends, said
    assert case.says in said
    assert ended.seconds < case.seconds, said
    if case.ends != "booted":
        assert ended.status == 99
        assert not any("phase=switch" in line for line in ended.lines)


def test_a_booted_node_has_the_files_of_its_layers(world: World) -> None:
    assert {"base", "overlay"} <= set(world.run(CASES["manifest by path"]).lines)

"""The nodes that the boot tests ask: all that the selected tests want are booted once, two side by side."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from builds import PROGRAM
from builds import Site as Builds
from imagebuilder.boot.artifacts import Artifacts, Selection, select
from imagebuilder.boot.session import MAC, Boot, Machine, Outcome, boot
from imagebuilder.errors import BootError
from imagebuilder.host.qemu import Nic
from imagebuilder.store.layout import Layout
from mirror import served
from nodes import EMULATED, INSPECT, SyslogServer, Terminal, boot_verb
from stores import add_artifacts

INSPECT_2015 = Path(__file__).with_name("inspect-2015.sh").read_text()
BY_HAND = Path(__file__).with_name("by_hand")
STACKED = Path(__file__).with_name("stacked")
INSPECT_STACKED = (STACKED / "files/look").read_text() + Path(__file__).with_name("inspect-stacked.sh").read_text()
DECOY = Nic("52:54:00:00:00:99", network="10.0.3.0/24", slot=4)


@dataclass(frozen=True, slots=True)
class Site:
    """Where nodes are booted from and where they leave their traces."""

    artifacts: Artifacts
    folder: Path
    syslog: SyslogServer
    images_of_2015: Path | None
    package_cache: Path

    def boot(self, name: str, request: Callable[[Boot], Boot] = lambda it: it) -> Outcome:
        """Boot the discovery overlay as `request` changes it."""
        plain = Boot(self.artifacts, self.folder / f"{name}.log", EMULATED, command=INSPECT)
        return boot(request(plain), lambda event: print(name, event, flush=True))


def _two_cards(site: Site) -> Outcome:
    machine = replace(EMULATED, nics=(Nic(MAC, slot=8), DECOY))
    syslog = f"SYSLOGSERVER=10.0.2.2:{site.syslog.port}"
    return site.boot("two_cards", lambda it: replace(it, machine=machine, arguments=syslog))


def _static_uefi(site: Site) -> Outcome:
    machine = Machine(nics=(Nic(MAC, capture=site.folder / "static.pcap"),), uefi=True, accelerator="tcg")
    address = "ip=10.0.2.77::10.0.2.2:255.255.255.0::eth0::10.0.2.3"
    bare = replace(site.artifacts, overlays=())
    return site.boot("static", lambda it: replace(it, artifacts=bare, machine=machine, arguments=address))


def _pxe_metal(site: Site) -> Outcome:
    names = [path.name for path in site.artifacts.folder.glob("vmlinuz-*-amd64")]
    (release,) = (name.removeprefix("vmlinuz-") for name in names if "cloud" not in name)
    metal = select(site.artifacts.folder, Selection(overlays=("discovery",), kernel=release))
    return site.boot("pxe", lambda it: replace(it, artifacts=metal, pxe=True))


def _pxe_uefi_verb(site: Site) -> CompletedProcess[str]:
    log = site.folder / "verb.log"
    return boot_verb("--builds", site.artifacts.folder, "--pxe", "--uefi", "--json", "--log", log, "--command", INSPECT)


def _reset(site: Site) -> BootError:
    order = "/usr/lib/on-imagebuilder/power cycle"
    with pytest.raises(BootError) as caught:
        site.boot("reset", lambda it: replace(it, command=order))
    return caught.value


def _shell(site: Site) -> tuple[int, bytes]:
    options = ("--accel", "tcg", "--builds", site.artifacts.folder, "--log", site.folder / "shell.log")
    argv = [PROGRAM, "boot", "--shell", *options]
    with closing(Terminal(argv)) as terminal:
        terminal.until(rb"root@monorail-micro:~# ")
        terminal.type(b"echo $((6 * 7)) $(id -un)\r")
        shown = terminal.until(rb"\d+ root\r")
        terminal.type(b"\x01x")
        return terminal.wait(), shown


def _tree_of_2015(site: Site) -> Outcome:
    """As RackHD boots it: the base by its URL, overlays by path and by URL, one of them packed by hand; colons."""
    by_hand = site.folder / "by-hand"
    by_hand.mkdir()
    pack = f"find . | cpio -H newc -o | gzip >{by_hand}/by-hand.overlay.cpio.gz"
    subprocess.run(pack, shell=True, check=True, cwd=BY_HAND, capture_output=True)
    assert site.images_of_2015
    artifacts = select(site.images_of_2015, Selection(overlays=("discovery", "flash_vendor")))
    shutil.copy(artifacts.folder / artifacts.base, by_hand)
    with served(by_hand) as server:
        other = f"http://10.0.2.2:{server.address.rpartition(':')[2]}"
        overlays = [*(f"/{name}" for name in artifacts.overlays), f"{other}/by-hand.overlay.cpio.gz"]
        words = f"BASEFS={other}/{artifacts.base} OVERLAYFS={','.join(overlays)} BOOTIF=01-{MAC} auto=true"
        return site.boot("2015", lambda it: replace(it, artifacts=artifacts, arguments=words, command=INSPECT_2015))


def _stacked(site: Site) -> Outcome:
    """Overlays that were made apart, on the base of an earlier build, and one that was made on both of them."""
    folder = site.folder / "stacked"
    subprocess.run([PROGRAM, "init", folder / "tree"], check=True, capture_output=True)
    shutil.copytree(STACKED, folder / "tree", dirs_exist_ok=True)
    shutil.copytree(site.artifacts.folder, folder / "builds")
    Builds(folder / "tree", folder / "builds", site.package_cache).build()
    artifacts = select(folder / "builds", Selection(overlays=("one", "two", "three")))
    return site.boot("stacked", lambda it: replace(it, artifacts=artifacts, command=INSPECT_STACKED))


SCENARIOS: dict[str, Callable[[Site], Any]] = {
    "two_cards": _two_cards,
    "static_uefi": _static_uefi,
    "pxe_metal": _pxe_metal,
    "pxe_uefi_verb": _pxe_uefi_verb,
    "reset": _reset,
    "shell": _shell,
    "tree_of_2015": _tree_of_2015,
    "stacked": _stacked,
}


@pytest.fixture(scope="session")
def wanted(request: pytest.FixtureRequest) -> set[str]:
    """The fixtures of all selected tests."""
    return {name for item in request.session.items for name in getattr(item, "fixturenames", ())}


@pytest.fixture(scope="session")
def site(
    built_images: Path,
    package_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
    wanted: set[str],
    request: pytest.FixtureRequest,
) -> Iterator[Site]:
    syslog = SyslogServer()
    old = request.getfixturevalue("images_of_2015")[0].builds if "tree_of_2015" in wanted else None
    default = select(built_images, Selection(overlays=("discovery",)))
    yield Site(default, tmp_path_factory.mktemp("nodes"), syslog, old, package_cache)
    syslog.close()


@pytest.fixture(scope="session")
def nodes(site: Site, wanted: set[str]) -> Iterator[dict[str, Future[Any]]]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(start, site) for name, start in SCENARIOS.items() if name in wanted}


@pytest.fixture(scope="session")
def two_cards(nodes: dict[str, Future[Outcome]]) -> Outcome:
    """Direct kernel start; the card to boot from comes second on the bus, the first has a DHCP server too."""
    return nodes["two_cards"].result()


@pytest.fixture(scope="session")
def static_uefi(nodes: dict[str, Future[Outcome]]) -> Outcome:
    """UEFI, direct kernel start, the base alone, a fixed address."""
    return nodes["static_uefi"].result()


@pytest.fixture(scope="session")
def pxe_metal(nodes: dict[str, Future[Outcome]]) -> Outcome:
    """BIOS, network boot, the kernel and initrd for real machines."""
    return nodes["pxe_metal"].result()


@pytest.fixture(scope="session")
def pxe_uefi_verb(nodes: dict[str, Future[CompletedProcess[str]]]) -> CompletedProcess[str]:
    """UEFI, network boot, by the command line."""
    return nodes["pxe_uefi_verb"].result()


@pytest.fixture(scope="session")
def reset(nodes: dict[str, Future[BootError]]) -> BootError:
    """A node whose task resets it."""
    return nodes["reset"].result()


@pytest.fixture(scope="session")
def shell(nodes: dict[str, Future[tuple[int, bytes]]]) -> tuple[int, bytes]:
    """The verb's exit status after a dialog with the shell on the console, and what the shell said."""
    return nodes["shell"].result()


@pytest.fixture(scope="session")
def tree_of_2015(nodes: dict[str, Future[Outcome]]) -> Outcome:
    """What the tree of 2015 makes, and an overlay packed by hand, with the arguments that RackHD passes."""
    return nodes["tree_of_2015"].result()


@pytest.fixture(scope="session")
def store_of_images(built_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A store with the discovery overlay and what it boots with, as `discovery:stable`."""
    layout = Layout(tmp_path_factory.mktemp("serve") / "store")
    layout.prepare()
    add_artifacts(layout, "discovery:stable", select(built_images, Selection(overlays=("discovery",))))
    return layout


@pytest.fixture(scope="session")
def stacked(nodes: dict[str, Future[Outcome]]) -> Outcome:
    """Three overlays: one and two know nothing of each other, the third was made on both."""
    return nodes["stacked"].result()

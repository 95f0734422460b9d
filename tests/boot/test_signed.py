"""Signed images boot, checked on a real kernel with the initrd's own programs; what somebody changed does not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builds import default_site, write_tree
from certificates import make_certificates, server_context
from hostile import hostile
from imagebuilder.boot.artifacts import Artifacts, Selection, select
from imagebuilder.boot.session import MAC, Boot, Outcome, boot
from imagebuilder.digest import of_file
from imagebuilder.errors import BootError
from imagebuilder.host.qemu import HOST_ADDRESS, Nic
from imagebuilder.store.signing import SecretKey
from nodes import EMULATED, names
from vlan import tagged_wire

pytestmark = [pytest.mark.boot, pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

KEY, FOREIGN = SecretKey.new(), SecretKey.new()
MANIFEST = "discovery.manifest.json"
MORE = "overlay_size=64m nb.zram=50% cache=layers"
LOOK = """
echo files $(df -m --output=size / | tail -n 1)
awk '/zram/ { print "swap", $1, $3 }' /proc/swaps
ip -4 -o addr show | awk '/10[.]0[.]2[.]/ { print "address", $2, $4 }'
ip -o link show eth0 | awk '{ print "card", $5 }'
systemctl is-system-running --wait >/dev/null
mount -r LABEL=layers /mnt && sha256sum /mnt/on-imagebuilder/* | sed 's|/.*/||; s/^/cached /'
cd /run/systemd/netif/links && awk -F= '/ADMIN_STATE|NETWORK_FILE=/ { printf "%s ", $2 } /NETWORK_FILE=/ { print "" }' *
"""
SMALL = """\
- import_playbook: common/initrd_wrapper.yml
  vars: {config_file: vars/initrd_virt.yml}
- import_playbook: common/basefs_wrapper.yml
  vars: {config_file: vars/base.yml}
- import_playbook: common/overlay_wrapper.yml
  vars: {config_file: vars/discovery.yml}
"""


@dataclass(frozen=True, slots=True)
class Booted:
    """How a boot ended, and the node's record as it was posted last."""

    outcome: Outcome | BootError
    record: list[dict[str, Any]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls") / "site", f"IP:{HOST_ADDRESS}")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, package_cache: Path, certificates: Path) -> Artifacts:
    """The default base and discovery overlay with a signed initrd for virtual machines that speaks HTTPS."""
    site = default_site(tmp_path_factory.mktemp("signed"), package_cache)
    settings = (site.tree / "group_vars/on_imagebuild").read_text()
    files = {
        "small.yml": SMALL,
        "keys/site.key": KEY.to_text(),
        "group_vars/on_imagebuild": f"{settings}\ntls_ca: [{certificates}/ca.pem]\n",
        "vars/initrd_virt.yml": (site.tree / "vars/initrd_virt.yml").read_text() + "  tls: true\n",
    }
    write_tree(site.tree, files)
    site.build("--sign", "keys/site.key", "small.yml")
    return select(site.builds, Selection(overlays=("discovery",)))


def _disk(image: Path) -> Path:
    with image.open("wb") as file:
        file.truncate(100_000_000)
    subprocess.run(["mkfs.ext4", "-q", "-L", "layers", image], check=True)
    return image


def _boot(artifacts: Artifacts, certificates: Path, log: Path) -> Booted:
    files = {f"/{path.name}": path.read_bytes() for path in artifacts.folder.iterdir() if path.is_file()}
    with hostile(files, tls=server_context(certificates)) as server, tagged_wire(7) as wire:
        url = f"https://{HOST_ADDRESS}:{server.server_port}"
        arguments = f"MANIFEST={url}/{MANIFEST} nb.report={url}/report nb.vlan=7 nb.mtu=1496 {MORE}"
        machine = replace(EMULATED, nics=(Nic(MAC, wire=wire),), disk=_disk(log.with_suffix(".disk")))
        request = Boot(artifacts, log, machine, arguments=arguments, command=LOOK)
        outcome: Outcome | BootError
        try:
            outcome = boot(request, lambda event: print(event, flush=True))
        except BootError as error:
            outcome = error
        _, record = server.posted[-1]
    return Booted(outcome, [json.loads(line) for line in record.splitlines()])


@pytest.fixture(scope="module")
def boots(
    signed: Artifacts, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Booted]]]:
    folder = tmp_path_factory.mktemp("boots")
    others = folder / "others"
    shutil.copytree(signed.folder, others)
    data = (others / MANIFEST).read_bytes()
    fields = {"timestamp": "1900000000", "file": MANIFEST}
    (others / f"{MANIFEST}.minisig").write_text(FOREIGN.sign(data, fields))
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            "signed": pool.submit(_boot, signed, certificates, folder / "signed.log"),
            "foreign": pool.submit(_boot, replace(signed, folder=others), certificates, folder / "foreign.log"),
        }


@pytest.fixture
def looked(boots: dict[str, Future[Booted]]) -> list[list[str]]:
    """What the booted system says of itself, a list of words a line."""
    outcome = boots["signed"].result().outcome
    assert isinstance(outcome, Outcome), outcome
    return [line.split() for line in str(outcome.task["stdout"]).splitlines()]


def test_build_shows_the_manifest_of_what_it_made(signed: Artifacts) -> None:
    assert signed.manifest == MANIFEST
    for name in (MANIFEST, "base.manifest.json", "SHA256SUMS"):
        assert (signed.folder / f"{name}.minisig").exists()


def test_initrd_with_keys_and_https_is_small(signed: Artifacts) -> None:
    assert (signed.folder / signed.initrd).stat().st_size <= 5_000_000 + 5_000_000


def test_signed_image_boots_over_https_by_its_manifest(boots: dict[str, Future[Booted]]) -> None:
    outcome = boots["signed"].result().outcome
    assert isinstance(outcome, Outcome), outcome
    phases = names(outcome)
    assert phases.index("network") < phases.index("manifest") < phases.index("memory")
    assert phases[-1] == "result"


def test_files_are_bounded_and_memory_is_swapped_to_compressed_memory(looked: list[list[str]]) -> None:
    assert ["files", "64"] in looked
    ((_, device, kilobytes),) = (words for words in looked if words[0] == "swap")
    assert device == "/dev/zram0"
    assert 200_000 < int(kilobytes) < EMULATED.memory_mb * 512


def test_node_boots_in_a_vlan_which_networkd_takes_over(looked: list[list[str]]) -> None:
    assert ["address", "eth0.7", "10.0.2.15/24"] in looked
    assert ["card", "1496"] in looked
    states = {words[-1]: words[-2] for words in looked if words[-1].endswith(".network")}
    assert states == {f"/run/systemd/network/10-imagebuilder-{name}.network": "configured" for name in ("boot", "vlan")}


def test_layers_are_kept_on_the_disk(looked: list[list[str]], signed: Artifacts) -> None:
    kept = {words[1]: words[2] for words in looked if words[0] == "cached"}
    layers = {of_file(signed.folder / name) for name in (signed.base, *signed.overlays)}
    assert kept == {digest: digest for digest in layers}


def test_server_gets_the_record_of_every_phase(boots: dict[str, Future[Booted]], signed: Artifacts) -> None:
    record = boots["signed"].result().record
    assert [line["phase"] for line in record][:3] == ["kernel", "modules", "network"]
    assert record[-1]["phase"] == "switch"
    assert {line["code"] for line in record} == {""}
    assert record[-1]["node"] == "52:54:00:00:00:01"
    assert record[-1]["manifest"].startswith("sha256:")
    fetched = {line["bytes"] for line in record if line["phase"] == "fetch"}
    assert (signed.folder / signed.base).stat().st_size in fetched


def test_image_that_somebody_else_signed_does_not_boot(boots: dict[str, Future[Booted]]) -> None:
    booted = boots["foreign"].result()
    assert isinstance(booted.outcome, BootError)
    assert "NB-SIGNATURE: discovery.manifest.json has no signature of a key that this initrd trusts" in str(
        booted.outcome
    )

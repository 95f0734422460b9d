"""Signed images boot, checked on a real kernel with the initrd's own programs; what somebody changed does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builds import default_site, write_tree
from hostile import hostile
from imagebuilder.boot.artifacts import Artifacts, Selection, select
from imagebuilder.boot.session import Boot, Outcome, boot
from imagebuilder.errors import BootError
from imagebuilder.host.qemu import HOST_ADDRESS
from imagebuilder.store.signing import SecretKey
from nodes import EMULATED, names

pytestmark = [pytest.mark.boot, pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

KEY, FOREIGN = SecretKey.new(), SecretKey.new()
MANIFEST = "discovery.manifest.json"
MEMORY = "df -m --output=size /; awk '/zram/ { print $1, $3 }' /proc/swaps"
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
def signed(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Artifacts:
    """The default base and discovery overlay with a signed initrd for virtual machines."""
    site = default_site(tmp_path_factory.mktemp("signed"), package_cache)
    write_tree(site.tree, {"small.yml": SMALL, "keys/site.key": KEY.to_text()})
    site.build("--sign", "keys/site.key", "small.yml")
    return select(site.builds, Selection(overlays=("discovery",)))


def _boot(artifacts: Artifacts, log: Path) -> Booted:
    with hostile({}) as server:
        report = f"nb.report=http://{HOST_ADDRESS}:{server.server_port}/report"
        outcome: Outcome | BootError
        try:
            arguments = f"{report} overlay_size=64m nb.zram=50%"
            request = Boot(artifacts, log, EMULATED, arguments=arguments, command=MEMORY)
            outcome = boot(request, lambda event: print(event, flush=True))
        except BootError as error:
            outcome = error
        _, record = server.posted[-1]
    return Booted(outcome, [json.loads(line) for line in record.splitlines()])


@pytest.fixture(scope="module")
def boots(signed: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Booted]]]:
    folder = tmp_path_factory.mktemp("boots")
    others = folder / "others"
    shutil.copytree(signed.folder, others)
    data = (others / MANIFEST).read_bytes()
    fields = {"timestamp": "1900000000", "file": MANIFEST}
    (others / f"{MANIFEST}.minisig").write_text(FOREIGN.sign(data, fields))
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            "signed": pool.submit(_boot, signed, folder / "signed.log"),
            "foreign": pool.submit(_boot, replace(signed, folder=others), folder / "foreign.log"),
        }


def test_build_shows_the_manifest_of_what_it_made(signed: Artifacts) -> None:
    assert signed.manifest == MANIFEST
    for name in (MANIFEST, "base.manifest.json", "SHA256SUMS"):
        assert (signed.folder / f"{name}.minisig").exists()


def test_initrd_with_keys_is_small(signed: Artifacts) -> None:
    assert (signed.folder / signed.initrd).stat().st_size <= 5_000_000


def test_signed_image_boots_by_its_manifest(boots: dict[str, Future[Booted]]) -> None:
    outcome = boots["signed"].result().outcome
    assert isinstance(outcome, Outcome), outcome
    phases = names(outcome)
    assert phases.index("network") < phases.index("manifest") < phases.index("memory")
    assert phases[-1] == "result"


def test_files_are_bounded_and_memory_is_swapped_to_compressed_memory(boots: dict[str, Future[Booted]]) -> None:
    outcome = boots["signed"].result().outcome
    assert isinstance(outcome, Outcome), outcome
    _, size, swap = str(outcome.task["stdout"]).splitlines()
    device, kilobytes = swap.split()
    assert (size.strip(), device) == ("64", "/dev/zram0")
    assert 200_000 < int(kilobytes) < EMULATED.memory_mb * 512


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

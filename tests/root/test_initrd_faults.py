"""The fault matrix: everything that may go wrong between a node and its servers, how it ends, and how soon.

A boot is /init itself in a mount namespace (tests/initrd_jail.py); its second is a twentieth of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults import images, servers
from faults.case import MANIFEST, Case
from hostile import hostile
from imagebuilder.digest import of_bytes
from initrd_jail import NEXT_KEY, Ended, Image, Jail, trust

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

CASES: Mapping[str, Case] = {**images.CASES, **servers.CASES}


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
            addresses = [stack.enter_context(hostile(files, s)).address if s is not None else "127.0.0.1:9"
                         for s in case.servers]  # fmt: skip
            given = case.arguments.replace("{manifest}", of_bytes(self.image.files[MANIFEST]))
            first, *others = addresses
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

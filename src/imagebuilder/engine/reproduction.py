"""Two builds of one tree, compared step by step: which makes other bytes the second time, and in which files.

The second build finds nothing done but the packages, and runs as if on
another machine: host name, umask, language, time zone and number of processors
are others, and so is all that Python draws by lot.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.layer_difference import PathDifference, differences
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command
from imagebuilder.host.files import workroom
from imagebuilder.store.index import read_index
from imagebuilder.store.record import Record

_SHARED = ("apt", "archives")
_SCRIPT = Path(__file__).with_name("elsewhere.sh")
_LANGUAGE = {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr", "TZ": "Pacific/Chatham"}


@dataclass(frozen=True, slots=True)
class Unequal:
    """A step that made something else: digests of both times, and the files that differ in what it packs.

    `paths` is None where the folders of one build are not there any more.
    """

    step: str
    first: str
    second: str
    paths: tuple[PathDifference, ...] | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many artifacts and manifests were compared, and what was not equal."""

    compared: int
    steps: tuple[Unequal, ...]
    manifests: tuple[str, ...]


@contextmanager
def fresh_cache(cache: Path) -> Iterator[Path]:
    """A cache beside what is kept in `cache`, in which nothing is done yet; the packages are those of `cache`."""
    with workroom(cache / "verify") as room:
        for name in _SHARED:
            (room / name).symlink_to(cache / name)
        yield room


def here(argv: Sequence[str], environment: Mapping[str, str]) -> Command:
    """The program in this machine's own surroundings, as far as builds see them at all."""
    return Command(tuple(argv), env=environment, accept=frozenset(range(256)))


def elsewhere(argv: Sequence[str], environment: Mapping[str, str]) -> Command:
    """The same program as if on another machine."""
    processor = str(min(os.sched_getaffinity(0)))
    return here(("unshare", "--uts", str(_SCRIPT), processor, *argv), {**environment, **_LANGUAGE})


def compare(first: Cache, second: Cache) -> Verdict:
    """Compare all blobs and manifests of the second build with those of the first, which did the same steps.

    Raises ImagebuilderError when the second build was of another plan.
    """
    unequal: list[Unequal] = []
    compared = 0
    for step_id, record in second.actions.all():
        before = first.actions.find(step_id)
        if before is None:
            raise ImagebuilderError(
                f"the second build was of another plan: `{record.name}` is not a step of the first",
                hint="a mirror that moved in between does this: try again, or `imagebuilder lock` the packages",
            )
        compared += 1
        if before.sha256 != record.sha256:
            unequal.append(Unequal(record.name, before.sha256, record.sha256, _paths(first, second, record)))
    names = read_index(second.layout).names
    past = read_index(first.layout).names
    moved = tuple(name for name, manifest in sorted(names.items()) if past.get(name) != manifest)
    return Verdict(compared + len(names), tuple(sorted(unequal, key=lambda step: step.step)), moved)


def _paths(first: Cache, second: Cache, record: Record) -> tuple[PathDifference, ...] | None:
    """The files that differ in the layers which a step packed, each with the step that made it."""
    layers = next((record.inputs[role] for role in ("upper", "lower", "kernel") if role in record.inputs), ())
    records = [cache.trees.find(step_id) for step_id in layers for cache in (first, second)]
    if not all(records):
        return None
    names = [found.name for found in records[::2] if found]
    folders = [(first.trees.path(step_id), second.trees.path(step_id)) for step_id in layers]
    found = differences(folders, clamp=record.step.get("epoch"))
    return tuple(difference.made_by(names[difference.layer]) for difference in found)

"""A tree and its lock: what goes in, what comes out, and where the two differ. Reads the tree's files, nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagebuilder.errors import Location, UserError
from imagebuilder.plan.bases import earlier_bases
from imagebuilder.plan.requests import PROGRAM, asks_of, reads_of, settings_of
from imagebuilder.resolve.lock import FILE, Lock, LockedImage
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.spec.config import OverlayKeys
from imagebuilder.spec.tree import ImageSpec, TreeSpec


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the tree says and its lock does not: where it stands, its key, what was locked and what is now."""

    location: Location
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.location}: `{self.key}`: {self.text}"


def lock_of(tree: TreeSpec, resolution: Resolution, releases: Mapping[str, tuple[str, ...]]) -> Lock:
    """The lock of a tree whose packages are known; `releases` are the Release files that they were found by."""
    images = {
        image.name: LockedImage(
            asks=asks_of(tree, image, resolution.bases),
            packages=resolution.images[image.name],
            reads=reads_of(tree, image),
        )
        for image in tree.images
    }
    return Lock(
        playbook=tree.playbook,
        settings=settings_of(tree),
        program=PROGRAM,
        releases=releases,
        kernel=resolution.kernel,
        python=resolution.python,
        images=images,
        epoch=resolution.epoch,
    )


def resolution_of(lock: Lock, tree: TreeSpec, epoch: int | None = None) -> Resolution:
    """The packages of a tree that its lock answers for (`stale` finds nothing); `epoch` wins over the lock's.

    Raises SpecError for an overlay whose base is neither in the playbook nor built.
    """
    return Resolution(
        published=published(tree.settings),
        kernel=lock.kernel,
        images={image.name: lock.images[image.name].packages for image in tree.images},
        python=lock.python if any(image.provisioner for image in tree.images) else (),
        bases=earlier_bases(tree, lock.kernel),
        epoch=lock.epoch if epoch is None else epoch,
    )


def stale(lock: Lock, tree: TreeSpec) -> tuple[Difference, ...]:
    """Where a tree, or the part of it that is built, differs from what was locked."""
    found = (*_settings(lock, tree), *_images(lock, tree), *_files(lock, tree))
    return tuple(dict.fromkeys(found))  # a setting may count for the tree and for an image


def unchanged(lock: Lock, tree: TreeSpec) -> frozenset[str]:
    """The images that ask for the same as they did, of the same sources, and so do all below them."""
    same_sources = lock.settings.get("repository_lists") == settings_of(tree)["repository_lists"]
    if not same_sources or lock.program != PROGRAM:
        return frozenset()
    bases = earlier_bases(tree, lock.kernel)
    asks = {image.name: asks_of(tree, image, bases) for image in tree.images}
    return standing(
        tree, {name for name, value in asks.items() if name in lock.images and lock.images[name].asks == value}
    )


def standing(tree: TreeSpec, names: Collection[str]) -> frozenset[str]:
    """Those of `names` that are made on images of the tree which are all among `names` themselves."""
    images = {image.name: image for image in tree.images}

    def stands(name: str) -> bool:
        keys = images[name].keys if name in images else None
        below = keys.base if isinstance(keys, OverlayKeys) else ()
        return name not in images or (name in names and all(map(stands, below)))

    return frozenset(filter(stands, names))


def refuse_stale(lock: Lock, tree: TreeSpec) -> None:
    """Raise UserError, which names every difference, unless the lock answers for the tree."""
    found = stale(lock, tree)
    if found:
        count = "one thing has" if len(found) == 1 else f"{len(found)} things have"
        raise UserError(
            f"{tree.root / FILE} is out of date: {count} changed since it was written:\n" + "\n".join(map(str, found)),
            hint="`imagebuilder lock` brings it up to date and keeps the versions of everything else; "
            "`imagebuilder build --lock` does that first",
        )


def _settings(lock: Lock, tree: TreeSpec) -> Iterator[Difference]:
    now = settings_of(tree)
    for name in _unequal(lock.settings, now):
        yield Difference(tree.settings_document.at(name), name, _change(lock.settings.get(name), now.get(name)))
    for name in _unequal(lock.program, PROGRAM):
        change = _change(lock.program.get(name), PROGRAM.get(name))
        yield Difference(Location(tree.root / FILE), name, f"{change} in what imagebuilder itself needs")


def _images(lock: Lock, tree: TreeSpec) -> Iterator[Difference]:
    bases = {name: path for name, path in earlier_bases(tree, lock.kernel).items() if name not in lock.images}
    for image in tree.images:
        if image.name not in lock.images:
            yield Difference(image.location, image.name, f"is not in the lock, which is that of `{lock.playbook}`")
            continue
        locked, now = lock.images[image.name].asks, asks_of(tree, image, bases)
        for key in _unequal(locked, now):
            before, after = locked.get(key), now.get(key)
            shown = "base" if key == "built_bases" else key
            yield Difference(_place(tree, image, shown, _first_new(before, after)), shown, _change(before, after))
    if tree.playbook == lock.playbook:
        for name in sorted(lock.images.keys() - {image.name for image in tree.images}):
            yield Difference(Location(tree.root / tree.playbook), name, "is in the lock and no longer in the playbook")


def _files(lock: Lock, tree: TreeSpec) -> Iterator[Difference]:
    for image in tree.images:
        if image.name not in lock.images:
            continue
        locked, now = lock.images[image.name].reads, reads_of(tree, image)
        sources = [file.src for file in image.keys.files]
        for place in _unequal(locked, now):
            change = _change(*({place: part[place]} if place in part else {} for part in (locked, now)))
            if place in sources:
                yield Difference(image.at("files", sources.index(place)), "files", change)
            else:
                location = image.provisioner.location if image.provisioner else image.document.at("provisioner")
                yield Difference(location, "provisioner", change)


def _place(tree: TreeSpec, image: ImageSpec, key: str, index: int | None) -> Location:
    """Where an image's `key` stands, and in it the item `index`."""
    if key == "kind":
        return image.location
    if key == "verifier":
        return tree.settings_document.at("trusted_keys")
    if key == "kernel_package" and key not in image.keys.model_fields_set:
        return tree.settings_document.at(key)
    return image.at(key) if index is None else image.at(key, index)


def _unequal(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ."""
    return [key for key in sorted({*locked, *now}) if locked.get(key) != now.get(key)]


def _first_new(locked: Any, now: Any) -> int | None:
    """The place of the first item of a list that was not locked."""
    if not isinstance(now, list):
        return None
    return next((index for index, item in enumerate(now) if item not in (locked or ())), None)


def _change(locked: Any, now: Any) -> str:
    """What was locked and what the tree says now, in words."""
    if not isinstance(locked, list | dict | None) or not isinstance(now, list | dict | None):
        return f"locked {_shown(locked)}, now {_shown(now)}"
    locked, now = locked or {}, now or {}
    parts = {
        "new": [item for item in now if item not in locked],
        "gone": [item for item in locked if item not in now],
        "changed": [key for key in now if isinstance(now, dict) and key in locked and locked[key] != now[key]],
    }
    words = [f"{', '.join(map(_shown, items))} {what}" for what, items in parts.items() if items]
    return "; ".join(words) or "in another order"


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"

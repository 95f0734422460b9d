"""Names that move when somebody says so."""

from __future__ import annotations

from imagebuilder.errors import UserError
from imagebuilder.store.index import Index, change_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.listing import manifest_of


def move_tag(layout: Layout, source: str, name: str) -> Blob:
    """Have `name` stand for what `source` does (both IMAGE:TAG, of one image); returns what that is.

    Raises UnknownError when the store has no `source`, UserError for another image's name.
    """
    if source.partition(":")[0] != name.partition(":")[0]:
        raise UserError(f"`{name}` and `{source}` are not of one image", hint="a channel is a tag of its own image")
    return change_index(layout, lambda index: index.moved(name, manifest_of(index, source, layout))).names[name]


def delete_tag(layout: Layout, name: str) -> None:
    """Take a name away, with its past. Raises UnknownError."""

    def changed(index: Index) -> Index:
        manifest_of(index, name, layout)
        return index.without(name)

    change_index(layout, changed)


def roll_back(layout: Layout, name: str) -> Blob:
    """Have a name stand for what it stood for before, which is returned. Raises UserError for one without past."""
    return change_index(layout, lambda index: index.rolled_back(name)).names[name]

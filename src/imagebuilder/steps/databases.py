"""Databases of the system that every layer has as a whole, though it means a few records: dpkg's, and accounts.

Two overlays made on one base bring two whole copies of /etc/passwd. Stacked
as they are, the upper one wins and the lower one's users are gone. So an
overlay lists beside its files what it changed (steps/sidecar.py):

    changes/TURN/KIND/PATH     what it changed in the file PATH, which is made up of records as KIND says

KIND and list                  a record and its key                      what a list says of it
    lines                      a line, its first field (`:`)             =LINE  -KEY  <LINE
    members                    as lines; last field lists members (`,`)  also +KEY MEMBER  ~KEY MEMBER
    set                        a line, which is its own key              =LINE  -LINE
    stanzas                    a paragraph; package and architecture     the stanza  -KEY  <KEY VERSION
    cache                      made anew of what all layers have         nothing

`=` has it, `-` does not, `<` had it so before: what is `<` only tells of
conflicts (steps/conflicts.py). A member is joined by `+`, left by `~`. Lists
of one overlay hold one after another by TURN: there are several when it was
merged of several. Where layers are stacked, on the node and in a build,
node/initrd/usr/lib/imagebuilder/merge.awk does to the file below what the
list above says.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.files import resolve

_MERGE = Path(__file__).parents[1] / "node/initrd/usr/lib/imagebuilder/merge.awk"

Changes = Mapping[str, bytes]
"""By `TURN/KIND/PATH` an overlay's lists."""

STATUS = "var/lib/dpkg/status"
ACCOUNTS = ("etc/passwd", "etc/group")
CACHE = "etc/ld.so.cache"
_TRIGGERS = "var/lib/dpkg/triggers"
_KINDS: Mapping[str, str] = {
    "etc/passwd": "lines",
    "etc/shadow": "lines",
    "etc/group": "members",
    "etc/gshadow": "members",
    "etc/subuid": "lines",
    "etc/subgid": "lines",
    "etc/shells": "set",
    STATUS: "stanzas",
    "var/lib/dpkg/statoverride": "set",
    "var/lib/apt/extended_states": "stanzas",
    CACHE: "cache",
}


def recorded(upper: Path, below: Path) -> dict[str, bytes]:
    """What the layer `upper`, made on the merged view `below`, changed; all of a database that is not below."""
    triggers = (f"{_TRIGGERS}/{name}" for name in _listing(upper / _TRIGGERS))
    files = {name: (upper / name).read_bytes() for name in (*_KINDS, *triggers) if _is_file(upper / name)}
    return changed(files, lambda name: content(below, name))


def changed(files: Mapping[str, bytes], below: Callable[[str], bytes]) -> dict[str, bytes]:
    """What the databases of a layer, by their paths, have changed in those that `below` gives, empty for none."""
    return {
        f"1/{kind}/{name}": changes(kind, below(name), text)
        for name, text in sorted(files.items())
        for kind in (_KINDS.get(name, "set"),)
    }


def whole(path: str, text: bytes) -> dict[str, bytes]:
    """The list of a database `path` that counts as it is, with all of its records."""
    return {f"1/{_KINDS[path]}/{path}": changes(_KINDS[path], b"", text)}


def after(below: Changes, above: Changes) -> dict[str, bytes]:
    """The lists `above` with turns that follow those of `below`."""
    turns = max(map(_turn, below), default=0)
    return {f"{_turn(place) + turns}/{place.partition('/')[2]}": said for place, said in above.items()}


def in_turn(said: Changes, path: str) -> list[tuple[str, bytes]]:
    """KIND and list of what is said of a database, one after another."""
    places = sorted((place for place in said if path_of(place) == path), key=_turn)
    return [(kind_of(place), said[place]) for place in places]


def is_database(path: str) -> bool:
    """Whether the node merges what layers say of `path`, which is relative."""
    return path in _KINDS or path.startswith(f"{_TRIGGERS}/")


def _turn(place: str) -> int:
    return int(place.partition("/")[0])


def kind_of(place: str) -> str:
    """KIND of `TURN/KIND/PATH`."""
    return place.split("/", 2)[1]


def path_of(place: str) -> str:
    """PATH of `TURN/KIND/PATH`."""
    return place.split("/", 2)[2]


def merged(machine: Machine, kind: str, said: bytes, below: bytes) -> bytes:
    """The database `below` after what the list `said` says, as the node makes it."""
    folder = machine.scratch()
    (folder / "said").write_bytes(said)
    (folder / "below").write_bytes(below)
    files = (str(_MERGE), str(folder / "said"), str(folder / "below"))
    command = Command(("awk", "-v", f"kind={kind}", "-f", *files), env={"LC_ALL": "C"})
    with machine.feed(command, folder / "merged"):
        pass
    return (folder / "merged").read_bytes()


def changes(kind: str, old: bytes, new: bytes) -> bytes:
    """What to do to `old` to have the records of `new`; empty when they are the same."""
    if kind == "cache":
        return b""
    before, after = records(kind, old), records(kind, new)
    said: list[bytes] = []
    for key, text in before.items():
        if text != after.get(key):
            said += [] if kind == "set" else [b"<" + _known_by(kind, key, text)]
            said += [] if key in after else [b"-" + key]
    for key, text in sorted(after.items()) if kind == "stanzas" else after.items():
        if text != before.get(key):
            said += _changed(kind, key, text, before.get(key))
    end = b"\n\n" if kind == "stanzas" else b"\n"
    return b"".join(text + end for text in said)


def records(kind: str, text: bytes) -> dict[bytes, bytes]:
    """The records of a database by their keys, in their order."""
    if kind == "stanzas":
        stanzas = (stanza.strip(b"\n") for stanza in text.split(b"\n\n"))
        return {stanza_key(stanza): stanza for stanza in stanzas if stanza}
    lines = (line for line in text.split(b"\n") if line)
    return {line if kind == "set" else line.partition(b":")[0]: line for line in lines}


def stanza_key(text: bytes) -> bytes:
    """`PACKAGE ARCHITECTURE` of a stanza."""
    return stanza_field(text, b"Package") + b" " + stanza_field(text, b"Architecture")


def stanza_field(text: bytes, name: bytes) -> bytes:
    """A field of one line; empty when the stanza has none of that name."""
    start = name + b": "
    return next((line.removeprefix(start) for line in text.split(b"\n") if line.startswith(start)), b"")


def _known_by(kind: str, key: bytes, text: bytes) -> bytes:
    return key + b" " + stanza_field(text, b"Version") if kind == "stanzas" else text


def _changed(kind: str, key: bytes, text: bytes, before: bytes | None) -> Iterator[bytes]:
    if kind == "stanzas":
        yield text
    elif kind != "members" or before is None:
        yield b"=" + text
    else:
        (old_head, _, old), (head, _, new) = before.rpartition(b":"), text.rpartition(b":")
        if old_head != head:
            yield b"=" + text
        yield from (b"+" + key + b" " + name for name in new.split(b",") if name and name not in old.split(b","))
        yield from (b"~" + key + b" " + name for name in old.split(b",") if name and name not in new.split(b","))


def content(root: Path, name: str) -> bytes:
    """A database as it is in a root; empty when it is not there."""
    path = resolve(root, PurePosixPath("/", name))
    return path.read_bytes() if _is_file(path) else b""


def _listing(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() and not folder.is_symlink() else []


def _is_file(path: Path) -> bool:
    return os.path.lexists(path) and stat.S_ISREG(path.lstat().st_mode)

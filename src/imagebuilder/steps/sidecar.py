"""What travels with an overlay in a folder of its own, because its format, or who unpacks it, has no place for it.

    .on-imagebuilder/
      changes/      what the overlay changed in databases of the system (steps/databases.py)
      footing       of an overlay made by hand, what it stands on (steps/footing.py): no build knows it
      replaces      the names, each closed by a zero byte, of what it has that is below as well
      attributes    an EROFS image of the files and folders with extended attributes that the format
                    loses: a layer to be mounted above the overlay
      links/T-U-G   the names of symlinks, each closed by a zero byte, of time T, user U and group G
      folders       a cpio archive of the folders alone, to be unpacked after the overlay

`links` and `folders` are for archives: busybox cpio restores neither, and a folder's
time only until a file is made in it. Our initrd applies them (layers.sh,
restore.sh) and takes the folder away; one that does not know it leaves it
where it is. A file with attributes is in the overlay all the same, without them.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.steps import cpio, erofs, tar
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.databases import Changes
from imagebuilder.steps.layer import Entry, folders_of, standing_alone

FOLDER = b".on-imagebuilder"
CHANGES = FOLDER + b"/changes/"
FOOTING = FOLDER + b"/footing"
REPLACES = FOLDER + b"/replaces"
ATTRIBUTES = FOLDER + b"/attributes"


def losses(entries: Sequence[Entry], form: str) -> list[tuple[Entry, tuple[str, ...]]]:
    """The entries with attributes that an overlay of this format cannot carry by itself, and the attributes' names."""
    carried = tar.CARRIED if form == "squashfs" else ()
    found = []
    for entry in entries:
        lost = tuple(name for name, _ in entry.xattrs if not name.startswith(carried)) if entry.xattrs else ()
        if lost:
            found.append((entry, lost))
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an overlay where it is made: what it changed in databases, which names are below as well.

    `footing` is what it stands on, without the changes, where nobody else remembers that.
    """

    changes: Changes
    replaces: frozenset[bytes]
    footing: bytes = b""


def add(entries: Sequence[Entry], known: Known, form: str, epoch: int, scratch: Path) -> list[Entry]:
    """The entries, numbered, with all that has to travel with them; its files are made in `scratch`."""
    contents: dict[bytes, Path | bytes] = dict(_contents(entries, form, scratch))
    contents |= {CHANGES + os.fsencode(place): said for place, said in known.changes.items()}
    contents[REPLACES] = b"".join(name + b"\0" for name in sorted(known.replaces))
    contents |= {FOOTING: known.footing} if known.footing else {}
    folders = {folder for name in contents for folder in folders_of(name)} | {FOLDER}
    # Root's alone: lists of changes have passwords, and an initrd of others leaves them where they are.
    added = [Entry(Member(name, stat.S_IFDIR | 0o700, mtime=epoch)) for name in folders]
    for name, content in contents.items():
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        added.append(Entry(Member(name, stat.S_IFREG | 0o600, mtime=epoch, size=size), content))
    return cpio.number([*entries, *added])


def _contents(entries: Sequence[Entry], form: str, scratch: Path) -> Iterator[tuple[bytes, Path | bytes]]:
    lost = [entry for entry, _ in losses(entries, form)]
    if lost:
        with (scratch / "attributes").open("wb") as image:
            erofs.write(standing_alone(entries, lost), image)
        yield ATTRIBUTES, scratch / "attributes"
    if form == "squashfs":
        return
    links: dict[bytes, bytes] = defaultdict(bytes)
    for entry in entries:
        if entry.kind == "symlink":
            member = entry.member
            links[b"%d-%d-%d" % (member.mtime, member.uid, member.gid)] += b"./" + entry.name + b"\0"
    yield from ((FOLDER + b"/links/" + name, names) for name, names in links.items())
    with (scratch / "folders").open("wb") as archive:
        cpio.write([entry for entry in entries if entry.kind == "folder"], archive)
    yield FOLDER + b"/folders", scratch / "folders"

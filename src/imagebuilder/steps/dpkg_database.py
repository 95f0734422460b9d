"""dpkg's database as text, in and out (dpkg(1), deb-triggers(5)), and apt's beside it.

status                    a stanza of control fields for each package
info/NAME.KIND            maintainer scripts, lists of files, ...; NAME:ARCH where several
                          architectures may be installed side by side
triggers/File             `PATH PACKAGE`: who wants to know of changes below a path
triggers/TRIGGER          `PACKAGE`: who wants to know of a trigger with a name
triggers/Unincorp         `TRIGGER PACKAGE...`: what has happened; `-`: nobody waits for it
diversions                three lines each: a path, where its file goes, whose file stays
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

Fields = Mapping[str, str]
"""Control fields by name; continuation lines are kept as they are."""

REMOVED = "remove-on-upgrade"
"""The flag of a conffile that the package no longer has."""

_FIELD = re.compile(r"^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_TRIGGER = re.compile(r"^\s*(interest|activate)(-await|-noawait)?\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Conffile:
    """A file that users may change, or its `flag` says what else it is."""

    path: str
    flag: str = ""


def read_fields(stanza: str) -> Fields:
    """One stanza."""
    return {name: value.rstrip() for name, value in _FIELD.findall(stanza)}


def read_stanzas(text: str) -> list[Fields]:
    """All stanzas of a control file."""
    return [read_fields(stanza) for stanza in re.split(r"\n\s*\n", text) if stanza.strip()]


def known(status: str) -> Mapping[str, Fields]:
    """The packages of `status` by name, also those of which only the configuration is left."""
    return {f["Package"]: f for f in read_stanzas(status) if not f["Status"].endswith(" not-installed")}


def unpacked_stanza(control: str, conffiles: Iterable[Conffile], hashes: Mapping[str, str]) -> str:
    """A package's stanza of `status` once it is unpacked; `hashes` are the md5s that its conffiles came with."""
    first, _, rest = control.strip("\n").partition("\n")
    lines = [first, "Status: install ok unpacked", *([rest] if rest else [])]
    entries = [f" {file.path} {hashes.get(file.path, 'newconffile')} {file.flag}".rstrip() for file in conffiles]
    return "\n".join([*lines, *(["Conffiles:", *entries] if entries else [])]) + "\n\n"


def info_name(fields: Fields) -> str:
    """What the names of a package's files in `info` begin with, and how triggers name it."""
    name = fields["Package"]
    return f"{name}:{fields['Architecture']}" if fields.get("Multi-Arch") == "same" else name


def read_conffiles(text: str) -> tuple[Conffile, ...]:
    """A package's `conffiles`."""
    lines = (line.rstrip() for line in text.splitlines())
    return tuple(Conffile(line[line.find("/") :], line[: line.find("/")].strip()) for line in lines if "/" in line)


def interests(name: str, triggers: str) -> Iterator[tuple[str, str]]:
    """What a package's `triggers` ask to be told: (file below `triggers/`, line to add to it)."""
    for directive, waiting, trigger in _TRIGGER.findall(triggers):
        if directive == "interest":
            who = name + ("/noawait" if waiting == "-noawait" else "")
            yield ("File", f"{trigger} {who}") if trigger.startswith("/") else (trigger, who)


def activations(triggers: str, paths: Iterable[str], file_triggers: str) -> Iterator[str]:
    """The triggers that a new package activates.

    First those that its `triggers` name, then those that stand in
    `triggers/File` for a place where one of its `paths` is.
    """
    yield from (trigger for directive, _, trigger in _TRIGGER.findall(triggers) if directive == "activate")
    wanted = dict.fromkeys(line.rsplit(" ", 1)[0] for line in file_triggers.splitlines() if line)
    present = set(paths)
    yield from (p for p in wanted if p in present or any(path.startswith(f"{p}/") for path in present))


@dataclass(frozen=True, slots=True)
class Diversion:
    """The file at `path` goes to `place`, unless `package` brings it."""

    path: str
    place: str
    package: str


def read_diversions(text: str) -> tuple[Diversion, ...]:
    """The content of `diversions`."""
    lines = text.splitlines()
    return tuple(Diversion(*parts) for parts in zip(lines[0::3], lines[1::3], lines[2::3], strict=True))


def overridden(text: str) -> frozenset[str]:
    """The paths of which `statoverride` says owner and mode."""
    return frozenset(line.split(" ", 3)[3] for line in text.splitlines() if line)


def automatic(states: str, asked: Collection[str], names: Iterable[str], architecture: str) -> str:
    """The content of apt's extended_states: without those `asked` for by name, with `names`, there for others' sake.

    Packages for all architectures are native to apt.
    """
    kept = [stanza for stanza in states.split("\n\n") if read_fields(stanza).get("Package", "") not in {"", *asked}]
    new = [f"Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1" for name in names]
    return "".join(f"{stanza}\n\n" for stanza in (*kept, *new))

"""A private apt: its own sources, lists and status, and nothing of the host's configuration but its proxy.

    CACHE/apt/KEY/sources.list   KEY is a digest of the sources
    CACHE/apt/KEY/lists/         the mirror's signed indexes
    CACHE/apt/KEY/kept/          what is known and preferred beside them, by digest
    CACHE/apt/host-pkgcache.bin  the host's own indexes, parsed
    CACHE/archives/              every .deb ever needed, shared by all builds

Signatures are always checked. A host that was told not to mind old Release
files (`Acquire::Check-Valid-Until`) keeps that setting for its own mirror only.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from imagebuilder import digest
from imagebuilder.errors import CommandError, PackageError
from imagebuilder.host.command import Command, Completed, run
from imagebuilder.host.files import free_bytes, kept_fresh, locked, publish_text
from imagebuilder.resolve.archives import missing
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.sources import TARGET_FORMAT, Sources

# `'URI' file_name size SHA256:hex`, as apt-get --print-uris prints each package that it would fetch.
_FETCH = re.compile(
    r"^'(?:(?!file:)[^']+|file:[^']+/held/[^']+)' "
    r"(?P<name>[^_]+)_(?P<version>[^_]+)_(?P<arch>[^_]+)\.deb (?P<size>\d+) SHA256:(?P<hex>\w+)"
)
_INHERITED = re.compile(r'^(Acquire::(?:https?::[^ ]*|Retries[^ ]*)) "(.*)";$', re.MULTILINE)
_UPDATE_SECONDS = 180.0
_PARSED_BYTES = 200_000_000
"""More than all that apt makes of a host's indexes."""
_UNCHECKED = re.compile(r'^Acquire::(Check-(?:Valid-Until|Date)) "(?:false|no|0)";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Record:
    """One package of the index: its exact identity and its control fields as text."""

    deb: Deb
    fields: str

    def field(self, name: str) -> str:
        """A control field's value in one line, "" when it is not there."""
        match = re.search(rf"^{re.escape(name)}: (.*(?:\n .*)*)", self.fields, re.MULTILINE)
        return " ".join(match.group(1).split()) if match else ""

    @property
    def installed_status(self) -> str:
        """The stanza that dpkg's status file would have for it."""
        drop = ("Filename", "Size", "MD5sum", "SHA256", "Description-md5", "Status")
        kept = [line for line in self.fields.splitlines() if line.split(":")[0] not in drop]
        return "\n".join([kept[0], "Status: install ok installed", *kept[1:]])


def host_date_options() -> str:
    """The host's leave not to mind the age of its mirror's Release files, as options of a source line."""
    return " ".join(f"{name.lower()}=no" for name in _UNCHECKED.findall(_host_dump()))


def _host_dump() -> str:
    return run(Command(("apt-config", "dump"))).stdout


def host_targets(cache: Path) -> str:
    """What the host's own apt reads packages from, in `TARGET_FORMAT`."""
    # apt parses all indexes before it answers: half a second, unless it finds what it made of them the last time,
    # and hosts that are containers are told not to keep that.
    parsed = cache / "apt" / "host-pkgcache.bin"
    parsed.parent.mkdir(parents=True, exist_ok=True)
    keeping = ("-o", f"Dir::Cache::pkgcache={parsed}", "-o", "Dir::Cache::srcpkgcache=")
    options = keeping if parsed.exists() or free_bytes(parsed.parent) > _PARSED_BYTES else ()
    argv = ("apt-get", *options, "indextargets", "--format", TARGET_FORMAT, "Created-By: Packages")
    return run(Command(argv)).stdout


class Apt:
    """apt for one set of sources and one architecture, in `cache`."""

    def __init__(self, sources: Sources, architecture: str, cache: Path) -> None:
        self.sources = sources
        self.architecture = architecture
        self.folder = cache / "apt" / digest.of_value([*sources.lines, architecture])[:16]
        self.lists = self.folder / "lists"
        self.archives = cache / "archives"
        self._config = self.folder / "apt.conf"
        self._options: tuple[str, ...] = ()

    @contextmanager
    def indexes(self) -> Iterator[None]:
        """Bring the indexes up to date and keep them so for the time of the block: what was resolved stays true.

        Raises PackageError when a mirror or a signature is wrong.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with kept_fresh(self.folder / "lock", self.update):
            yield

    @contextmanager
    def indexes_of_earlier(self) -> Iterator[bool]:
        """Keep the indexes as an earlier run left them for the time of the block, without the network; whether any."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", shared=True):
            yield any(self.lists.glob("*Release"))

    def update(self) -> None:
        """Bring the indexes up to date, while nobody else uses them. Raises PackageError, as `indexes`."""
        (self.lists / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "no-archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        self.folder.joinpath("sources.list").write_text("\n".join(self.sources.lines) + "\n")
        self.folder.joinpath("empty-status").touch()
        self._config.write_text(self._configuration())
        self._refresh(retries=1)

    def _refresh(self, retries: int) -> None:
        try:
            self._run("apt-get", "-qq", "--error-on=any", "update", timeout=_UPDATE_SECONDS)
        except CommandError as error:
            # A transfer that hangs was seen once with a slow mirror; apt's own time limit did not end it.
            if error.status != -9 or not retries:
                raise _mirror_error(error, self.sources) from None
            self._refresh(retries - 1)

    def knowing(self, stanzas: str) -> Apt:
        """The same apt, which knows packages that are in the archive folder beside those of the mirror."""
        return self._with("APT::Sources::With::", "Packages", stanzas) if stanzas else self

    def preferring(self, versions: Mapping[str, str]) -> Apt:
        """The same apt, which takes these versions of packages where it knows them, be they older or newer."""
        pins = (f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in versions.items())
        return self._with("Dir::Etc::preferences", "preferences", "\n".join(pins))

    def _with(self, option: str, name: str, text: str) -> Apt:
        path = self.folder / "kept" / digest.of_bytes(text.encode())[:16] / name
        if not path.exists():
            publish_text(text, path)
        changed = copy.copy(self)
        changed._options = (*self._options, "-o", f"{option}={path}")
        return changed

    def simulate(self, requests: Sequence[str], status: Path | None = None) -> tuple[Deb, ...]:
        """Every package that `apt-get install REQUESTS` would bring into a root with this dpkg status.

        Raises CommandError with apt's own words. Local .deb files among the
        requests count as installed but are not returned.
        """
        # An archive folder without files: apt prints only what it does not have yet.
        options = ("-o", "Acquire::ForceHash=SHA256", "-o", f"Dir::Cache::archives={self.folder}/no-archives/")
        # Twice quiet, it would not say which packages are at odds.
        done = self._run("apt-get", "-q", "--print-uris", *options, "install", "--", *requests, status=status)
        matches = filter(None, map(_FETCH.match, done.stdout.splitlines()))
        debs = (Deb(m["name"], unquote(m["version"]), m["arch"], int(m["size"]), m["hex"]) for m in matches)
        return tuple(sorted(debs))

    def records(self, packages: Sequence[str]) -> list[Record]:
        """The index's records of `name`, `name=version`, ... Raises CommandError when one is unknown."""
        if not packages:
            return []
        done = self._run("apt-cache", "show", "--no-all-versions", "--", *packages)
        return [_record(text) for text in done.stdout.split("\n\n") if text.strip()]

    def known(self, debs: Sequence[Deb]) -> frozenset[Deb]:
        """Those that the indexes have, with the same digest."""
        if not debs:
            return frozenset()
        argv = ("apt-cache", "show", "--no-all-versions", "--", *(deb.exact for deb in debs))
        done = self._run(*argv, accept=frozenset({0, 100}))
        return frozenset(_record(text).deb for text in done.stdout.split("\n\n") if text.strip()) & frozenset(debs)

    def versions(self, package: str) -> list[str]:
        """The versions of a package that are known, newest first."""
        # Not madison, which leaves out what only this machine has.
        done = self._run("apt-cache", "show", "--all-versions", "--", package, accept=frozenset({0, 100}))
        return list(dict.fromkeys(re.findall(r"^Version: (.*)$", done.stdout, re.MULTILINE)))

    def names(self) -> list[str]:
        """The name of every package of the indexes."""
        return self._run("apt-cache", "pkgnames").stdout.split()

    def download(self, debs: Sequence[Deb]) -> int:
        """Have every package in the archive folder, whole; returns the bytes that were fetched.

        Raises PackageError for a file that cannot be had, or does not have the digest that the signed index gives.
        """
        with locked(self.archives / "imagebuilder.lock"):
            wanted = missing(self.archives, debs)
            if wanted:
                try:
                    self._run("apt-get", "-qq", "download", "--", *(deb.exact for deb in wanted), cwd=self.archives)
                except CommandError as error:
                    for refused in self.archives.glob("*.deb.FAILED"):
                        refused.unlink()
                    raise _mirror_error(error, self.sources) from None
            broken = missing(self.archives, wanted)
        if broken:
            raise PackageError(f"`{broken[0].file_name}` does not have the digest that the signed index gives for it")
        return sum(deb.size for deb in wanted)

    def configuration(self, *, folder: str) -> str:
        """An apt.conf for a root in which this apt's sources, lists and archives are shown below `folder`."""
        rules = _RULES.format(folder=folder, archives=f"{folder}/archives", status="/var/lib/dpkg/status")
        # fsync is pure loss in a build root.
        return f'{rules}DPkg::Options:: "--force-unsafe-io";\nDPkg::Use-Pty "0";\n' + self._host()

    def _configuration(self) -> str:
        status = self.folder / "empty-status"
        rules = _RULES.format(folder=self.folder, archives=self.archives, status=status)
        # The host's own files are not ours to follow.
        nowhere = ("sourceparts", "parts", "preferences", "preferencesparts")
        parts = "".join(f'Dir::Etc::{part} "/dev/null";\n' for part in nowhere)
        return f'{rules}{parts}APT::Architecture "{self.architecture}";\n' + self._host()

    def _host(self) -> str:
        return "".join(f'{key} "{value}";\n' for key, value in _INHERITED.findall(_host_dump()) if value)

    def _run(self, program: str, *argv: str, status: Path | None = None, **how: Any) -> Completed:
        """Run one of apt's programs; `how` are fields of `Command`."""
        options = (*self._options, *(("-o", f"Dir::State::status={status}") if status else ()))
        return run(Command((program, *options, *argv), env={"APT_CONFIG": str(self._config)}, **how))


_RULES = """\
Dir::State::lists "{folder}/lists";
Dir::State::status "{status}";
Dir::Cache::archives "{archives}";
Dir::Cache::pkgcache "{folder}/pkgcache.bin";
Dir::Cache::srcpkgcache "{folder}/srcpkgcache.bin";
Dir::Etc::sourcelist "{folder}/sources.list";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
"""


def _record(text: str) -> Record:
    bare = Record(Deb("", "", "", 0, ""), text.strip("\n"))
    field = bare.field
    deb = Deb(field("Package"), field("Version"), field("Architecture"), int(field("Size")), field("SHA256"))
    return Record(deb, bare.fields)


def _mirror_error(error: CommandError, sources: Sources) -> PackageError:
    """Apt's complaint about a mirror as one of ours: which mirror, what is wrong, what to do."""
    said = error.detail
    if re.search(r"NO_PUBKEY|BADSIG|EXPKEYSIG|is not signed|couldn't be verified|GPG error", said):
        what = "is not signed by a key that this build trusts"
        hint = f"the keys are in {sources.keyring}; a mirror of your own needs `repository_lists` with `signed-by=`"
    elif re.search(r"is expired|not valid yet", said):
        what = "has a Release file that is out of date"
        hint = "the mirror has stopped following its upstream, or this machine's clock is wrong (`date`)"
    elif re.search(r"Hash Sum mismatch|unexpected size", said):
        what = "serves something else than its signed index says"
        hint = "try again: a mirror is like this while it is updated; a cache in front of it may have to be emptied"
    elif suite := re.search(r"'\S+ (\S+) Release' does not have a Release file", said):
        what = f"has no suite `{suite.group(1)}`"
        hint = "the suite is `debootstrap_release` in group_vars, or stands in a line of `repository_lists`"
    else:
        what = "cannot be reached, or does not have this"
        origin = "this machine's own apt configuration" if sources.from_host else "`apt_server` in group_vars"
        origin = "`snapshot` in group_vars" if sources.is_snapshot else origin
        hint = f"the mirror comes from {origin}; try `apt-get update` or open it with curl"
    failed = re.search(r"(https?://\S+)", said)
    where = failed.group(1).rstrip(".,'") if failed else sources.mirror
    return PackageError(f"the mirror {where} {what}", hint=hint, detail=said)

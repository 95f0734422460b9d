"""Packages into a root without apt, from files that are at hand.

Extracted side by side, written into dpkg's database as if dpkg had unpacked
them one after another, and then configured by one run of the root's own dpkg.
Maintainer scripts run as they would: `preinst` before a package's files are
there, `postinst` and triggers by dpkg. Conffiles lie in their place at once,
known to dpkg by their digest, which it then leaves alone.

What dpkg does beyond that (upgrades, removals, files taken over, questions
about conffiles) is not done here; `obstacles` says so beforehand.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps import dpkg_database as database
from imagebuilder.steps.deb_archive import ControlFile, read_control
from imagebuilder.steps.dpkg_database import Fields
from imagebuilder.steps.dpkg_relations import relations
from imagebuilder.steps.extract import Unpacked, Unpacking, extract
from imagebuilder.steps.files import resolve
from imagebuilder.steps.obstacles import Candidate, Surroundings, is_idle, obstacles, rounds
from imagebuilder.steps.path_filter import PathFilter, path_filter

_DPKG = Path("var/lib/dpkg")
_CONTROL = _DPKG / "tmp.ci"
_AUTOMATIC = Path("var/lib/apt/extended_states")
_OPTIONS = Path("etc/dpkg")


@dataclass(frozen=True, slots=True)
class Package:
    """A package file at `path`, what its control.tar holds, and the control fields."""

    path: Path
    control: Mapping[str, ControlFile]
    fields: Fields

    @property
    def name(self) -> str:
        """The package's name."""
        return self.fields["Package"]

    def text(self, name: str) -> str:
        """A file of control.tar, "" when there is none."""
        return os.fsdecode(self.control[name].content) if name in self.control else ""

    @property
    def candidate(self) -> Candidate:
        """What decides whether it can be installed directly."""
        preinst = self.text("preinst")
        conffiles = database.read_conffiles(self.text("conffiles"))
        paths = [f"/{line.partition('  ')[2]}" for line in self.text("md5sums").splitlines()]
        paths += [file.path for file in conffiles]
        return Candidate(self.fields, "" if is_idle(preinst) else preinst, conffiles, frozenset(paths))


def read_packages(machine: Machine, debs: Iterable[Deb]) -> tuple[Package, ...]:
    """The packages as they lie in the archive folder."""
    paths = [machine.archive(deb.file_name) for deb in debs]
    controls = [(path, read_control(path)) for path in paths]
    return tuple(Package(path, c, database.read_fields(os.fsdecode(c["control"].content))) for path, c in controls)


def prepare(root: Path) -> None:
    """An empty dpkg database."""
    for folder in ("alternatives", "info", "triggers", "updates"):
        (root / _DPKG / folder).mkdir(parents=True)
    (root / _DPKG / "info/format").write_text("1\n")
    for name in ("diversions", "status", "triggers/File", "triggers/Unincorp"):
        (root / _DPKG / name).touch()


def known(root: Path) -> Mapping[str, Fields]:
    """The packages that a root's dpkg knows, by name."""
    return database.known(_read(root / _DPKG / "status"))


def refuse_others(root: Path, debs: Iterable[Deb]) -> None:
    """Raise ImagebuilderError when apt has installed other versions than `debs`; its indexes may be newer."""
    there = known(root)
    others = [
        f"`{deb.name}` {there[deb.name]['Version']} instead of {deb.version}"
        for deb in debs
        if deb.name in there and there[deb.name]["Version"] != deb.version
    ]
    if others:
        raise ImagebuilderError(
            "apt has installed other versions than the lock says:\n" + "\n".join(others),
            hint="`imagebuilder lock --upgrade` takes what the mirror has now",
        )


def refusals(root: Path, packages: Sequence[Package], architecture: str) -> list[str]:
    """Why packages cannot be installed into a root directly, a sentence each."""
    new = [package.candidate for package in packages]
    conffiles = [file.path for candidate in new for file in candidate.conffiles]
    existing = [path for path in conffiles if os.path.lexists(resolve(root, PurePosixPath(path)))]
    overridden = database.overridden(_read(root / _DPKG / "statoverride"))
    return obstacles(new, Surroundings(architecture, known(root), existing, overridden))


def install(root: Chroot, packages: Sequence[Package]) -> None:
    """Unpack packages, each after its `preinst`; `configure` is still to come."""
    by_name = {package.name: package for package in packages}
    for candidates in rounds([package.candidate for package in packages]):
        together = [by_name[candidate.fields["Package"]] for candidate in candidates]
        run_preinst(root, together)
        unpack(root.path, together)


def run_preinst(root: Chroot, packages: Sequence[Package]) -> None:
    """Run the scripts that come before a package's files, where they do anything: where dpkg does, as debconf looks."""
    for package in packages:
        if package.candidate.preinst:
            environment = {
                "DPKG_ADMINDIR": f"/{_DPKG}",
                "DPKG_MAINTSCRIPT_ARCH": package.fields["Architecture"],
                "DPKG_MAINTSCRIPT_NAME": "preinst",
                "DPKG_MAINTSCRIPT_PACKAGE": package.name,
                "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT": "1",
                "DPKG_ROOT": "",
            }
            place = root.path / _CONTROL
            place.mkdir()
            for name, file in package.control.items():
                _write(place / name, file)
            root.run((f"/{_CONTROL}/preinst", "install"), env=environment)
            for path in place.iterdir():
                path.unlink()
            place.rmdir()


def unpack(root: Path, packages: Sequence[Package]) -> None:
    """Extract packages and have dpkg's database say so. Raises ImagebuilderError when two packages hold one file."""
    waiting = _read(root / _DPKG / "triggers/File")
    diversions = database.read_diversions(_read(root / _DPKG / "diversions"))
    found = extract(root, [_unpacking(package, diversions) for package in packages], _excluded(root))
    _refuse_shared(root, packages, found, {diversion.path for diversion in diversions})
    happened: dict[str, None] = {}
    for package, unpacked in zip(packages, found, strict=True):
        _register(root, package, unpacked)
        happened |= dict.fromkeys(database.activations(package.text("triggers"), unpacked.paths, waiting))
    _append(root / _DPKG / "triggers/Unincorp", "".join(f"{trigger} -\n" for trigger in happened))


def configure(root: Chroot, packages: Iterable[Package]) -> None:
    """Have dpkg configure `packages`, which are unpacked, and run the triggers."""
    with _no_host_keys(root.path) if any(p.name == "openssh-server" for p in packages) else nullcontext():
        root.run(("dpkg", "--force-unsafe-io", "--configure", "--pending"))


@contextmanager
def _no_host_keys(root: Path) -> Iterator[None]:
    """Sshd's package draws keys, for a second, that no image keeps: where some are there, it draws none."""
    paths = [root / f"etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519")]
    placeholders = [path for path in paths if not path.exists()]
    for path in placeholders:
        path.touch()
    yield
    for path in placeholders:
        path.unlink()


def mark_automatic(root: Path, packages: Iterable[Package], requests: Sequence[str], architecture: str) -> None:
    """Tell apt which packages somebody asked for by name, and that the others of `packages` came for their sake."""
    asked = {re.split(r"[:=/]", request)[0] for request in requests}
    names = [p.name for p in packages if not asked & {p.name, *(r.name for r in relations(p.fields, "Provides"))}]
    path = root / _AUTOMATIC
    states = database.automatic(before := _read(path), asked, names, architecture)
    if states != before:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(states)


def _unpacking(package: Package, diversions: Iterable[database.Diversion]) -> Unpacking:
    return Unpacking(
        package.path,
        hashed=frozenset(file.path for file in package.candidate.conffiles),
        all_hashed="md5sums" not in package.control,
        diverted={d.path: d.place for d in diversions if d.package != package.name},
    )


def _register(root: Path, package: Package, found: Unpacked) -> None:
    for name, file in package.control.items():
        if name != "control":
            _write(_info(root, package, name), file)
    _append(_info(root, package, "list"), "".join(f"{path}\n" for path in found.paths))
    conffiles = package.candidate.conffiles
    if "md5sums" not in package.control:
        sums = (f"{md5}  {path[1:]}\n" for path, md5 in found.hashes.items())
        _append(_info(root, package, "md5sums"), "".join(sums))
    stanza = database.unpacked_stanza(package.text("control"), conffiles, found.hashes)
    _append(root / _DPKG / "status", stanza)
    for trigger, line in database.interests(database.info_name(package.fields), package.text("triggers")):
        _append(root / _DPKG / "triggers" / trigger, f"{line}\n")


def _refuse_shared(
    root: Path, packages: Sequence[Package], unpacked: Sequence[Unpacked], diverted: Collection[str]
) -> None:
    """A file belongs to one package, also of those that were there before, unless one of them is diverted."""
    claims = Counter(path for found in unpacked for path in found.files)
    owned = {path for file in (root / _DPKG / "info").glob("*.list") for path in _read(file).splitlines()}
    for package, found in zip(packages, unpacked, strict=True):
        for path in found.files:
            if (claims[path] > 1 or path in owned) and path not in diverted:
                raise ImagebuilderError(f"`{package.name}` and another package both hold {path}")


def _excluded(root: Path) -> PathFilter:
    """The root's own dpkg configuration, in the order in which dpkg reads it."""
    parts = (path for path in (root / _OPTIONS / "dpkg.cfg.d").glob("*") if re.fullmatch(r"[\w-]+", path.name))
    files = [*sorted(parts), root / _OPTIONS / "dpkg.cfg"]
    return path_filter(line for file in files for line in _read(file).splitlines())


def _info(root: Path, package: Package, kind: str) -> Path:
    return root / _DPKG / "info" / f"{database.info_name(package.fields)}.{kind}"


def _write(path: Path, file: ControlFile) -> None:
    path.write_bytes(file.content)
    path.chmod(file.mode)
    os.utime(path, (file.mtime, file.mtime))


def _read(path: Path) -> str:
    """A text as paths are read, whatever the locale: what is not UTF-8 in it survives."""
    return os.fsdecode(path.read_bytes()) if path.exists() else ""


def _append(path: Path, text: str) -> None:
    with path.open("ab") as file:
        file.write(os.fsencode(text))

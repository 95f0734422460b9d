"""What we install is what mmdebstrap and apt install, but for a written list of differences."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from debs import Member, folder, link, member, write_deb
from imagebuilder import resources
from imagebuilder.engine.build import _apt_files
from imagebuilder.events import Event, Note
from imagebuilder.host.local import LocalMachine
from imagebuilder.host.mounts import mounted
from imagebuilder.plan.provisioner import path_excludes
from imagebuilder.resolve.apt import Apt, host_date_options, host_targets
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.sources import published, sources_for
from imagebuilder.spec.settings import Settings
from imagebuilder.steps.bootstrap import Bootstrap
from imagebuilder.steps.mmdebstrap import Mmdebstrap
from imagebuilder.steps.packages import InstallPackages
from imagebuilder.steps.provision import Provision
from imagebuilder.steps.rootfs import Rootfs
from trees import differences, read_tree

pytestmark = [pytest.mark.root, pytest.mark.network]

EPOCH = 1_700_000_000
MINIMAL = ("?essential", "?priority(required)", "apt", "usr-is-merged")


def _listed(config_file: str) -> tuple[str, ...]:
    text = (resources.folder("images") / "vars" / config_file).read_text()
    return tuple(yaml.safe_load(text)["image"]["packages"])


BASES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "bookworm": ("bookworm", ()),
    "trixie": ("trixie", ()),
    "base": ("bookworm", _listed("base.yml")),
}
OVERLAYS: Mapping[str, tuple[str, ...]] = {
    "discovery": _listed("discovery.yml"),
    "discovery_rackhd": _listed("discovery_rackhd.yml"),
    "secure_erase": _listed("oem/secure_erase.yml"),
}

# (paths, what differs, why it may)
ALLOWED = (
    # Bases.
    ("dev/*", "theirs", "a node's /dev is the kernel's own, and who is not root cannot make devices"),
    ("run/*", "theirs", "/run lies in RAM, in a build as on a node"),
    ("lib32", "theirs", "mmdebstrap's hook makes links for architectures that nothing is installed of"),
    ("libx32", "theirs", "the same"),
    ("usr/lib32", "theirs", "the same"),
    ("usr/libx32", "theirs", "the same"),
    ("var/cache/apt/archives/lock", "theirs", "apt makes it when it first runs"),
    ("var/cache/apt/archives/partial", "owner mode", "apt takes it over when it first runs"),
    ("var/lib/apt/lists/lock", "theirs", "apt makes it when it first runs"),
    ("var/lib/apt/lists/partial", "owner mode", "apt takes it over when it first runs"),
    ("var/lib/dpkg/arch", "theirs", "apt writes the one architecture down for dpkg, which knows it"),
    (
        "var/lib/apt/extended_states: Package: sensible-utils",
        "theirs",
        "the package says of itself that it is required, the archive says otherwise: it stays when nobody needs it",
    ),
    ("etc/alternatives/pager", "time", "`more` is configured after `less`: the link is made once, not twice"),
    ("usr/bin/pager", "time", "the same"),
    # Both.
    ("var/log/*", "ours theirs content", "a log of how it was made"),
    ("var/cache/debconf/*-old", "ours theirs content", "a state in between"),
    ("var/lib/dpkg/*-old", "ours theirs content", "a state in between"),
    ("var/cache/ldconfig/aux-cache", "ours theirs content", "ldconfig's own: inode numbers and times"),
    ("etc/ssh/ssh_host_*", "theirs", "drawn by lot: no image keeps them, ours have none drawn"),
    # Overlays.
    ("etc/nvme/host*", "content", "drawn by lot; no image keeps it"),
    ("var/lib/dpkg/triggers/Unincorp", "time", "triggers go through it to dpkg, which empties it"),
    ("var/lib/dpkg/lock-frontend", "time", "apt takes the lock another time"),
)


@dataclass(slots=True)
class Workshop:
    """Roots made in both ways, each once."""

    folder: Path
    apts: Mapping[str, Apt]
    events: list[Event] = field(default_factory=list)
    made: dict[str, Path] = field(default_factory=dict)
    compared: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def machine(self, suite: str, archives: Path | None = None) -> LocalMachine:
        files = _apt_files(self.apts[suite])
        files = replace(files, archives=archives or files.archives)
        scratch = self.folder / f"scratch-{len(list(self.folder.iterdir()))}"
        scratch.mkdir()
        environment = {"SOURCE_DATE_EPOCH": str(EPOCH)}
        return LocalMachine("x", scratch, files, environment, self.events.append)

    def base(self, name: str, *, direct: bool) -> Path:
        """A base, by ourselves or by mmdebstrap."""
        suite, packages = BASES[name]
        apt = self.apts[suite]
        debs = apt.simulate([*MINIMAL, *packages])
        apt.download(debs)
        requests = (*packages, "usr-is-merged")
        rootfs = Rootfs(
            suite, "amd64", requests, debs, path_excludes(()), published(Settings(debootstrap_release=suite)), EPOCH
        )
        output = self.folder / f"{name}-{direct}"
        if output.name not in self.made:
            self.made[output.name] = output
            output.mkdir()
            (Bootstrap(rootfs) if direct else Mmdebstrap(rootfs)).run(self.machine(suite), {}, output)
        return output

    def overlay(self, name: str, *, direct: bool) -> Path:
        """What an overlay adds to the default base."""
        lower = self.base("base", direct=True)
        apt = self.apts["bookworm"]
        debs = apt.simulate(OVERLAYS[name], lower / "var/lib/dpkg/status")
        apt.download(debs)
        output = self.folder / f"{name}-{direct}"
        if output.name not in self.made:
            self.made[output.name] = output
            output.mkdir()
            action = InstallPackages(OVERLAYS[name], (), debs, direct)
            Provision((action,)).run(self.machine("bookworm"), {"lower": (lower,)}, output)
        return output

    def differences(self, name: str) -> list[tuple[str, str]]:
        """What differs between the two ways to make a base, or an overlay on the default base."""
        if name not in self.compared:
            began = time.time()
            with ExitStack() as stack:
                trees = []
                for direct in (True, False):
                    if name in BASES:
                        root = self.base(name, direct=direct)
                    else:
                        layers = (self.base("base", direct=True), self.overlay(name, direct=direct))
                        root = stack.enter_context(self.machine("bookworm").overlay(layers))
                    trees.append(read_tree(root, began))
            self.compared[name] = list(differences(*trees))
        return self.compared[name]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Iterator[Workshop]:
    suites = dict.fromkeys(suite for suite, _ in BASES.values())
    settings = {suite: Settings(debootstrap_release=suite) for suite in suites}
    apts = {
        suite: Apt(
            sources_for(settings[suite], host_targets(package_cache), host_date_options()), "amd64", package_cache
        )
        for suite in suites
    }
    folder = tmp_path_factory.mktemp("roots")
    umask = os.umask(0o022)
    with ExitStack() as stack:
        stack.enter_context(mounted("roots", folder, "tmpfs"))
        for apt in apts.values():
            stack.enter_context(apt.indexes())
        yield Workshop(folder, apts)
    os.umask(umask)


def _allowance(path: str, what: str) -> str:
    return next((pattern for pattern, kinds, _ in ALLOWED if fnmatchcase(path, pattern) and what in kinds.split()), "")


@pytest.mark.parametrize("name", [*BASES, *OVERLAYS])
def test_tree_is_the_one_that_others_make(workshop: Workshop, name: str) -> None:
    assert [(path, what) for path, what in workshop.differences(name) if not _allowance(path, what)] == []
    assert [event.message for event in workshop.events if isinstance(event, Note)] == []


def test_every_difference_that_is_allowed_occurs(workshop: Workshop) -> None:
    seen = {_allowance(path, what) for name in (*BASES, *OVERLAYS) for path, what in workshop.differences(name)}
    assert {pattern for pattern, _, _ in ALLOWED} - seen == set()


def _chroot(workshop: Workshop, suite: str, root: Path, *commands: str) -> str:
    with workshop.machine(suite).chroot(root) as chroot:
        return "".join(chroot.run(("/bin/sh", "-e", "-c", command)).stdout for command in commands)


@pytest.mark.parametrize("name", BASES)
def test_dpkg_and_apt_find_nothing_amiss(workshop: Workshop, name: str) -> None:
    asked = ("dpkg --audit", "dpkg --verify || true", "apt-get -qq check", "apt-get -qq --simulate autoremove")
    ours, theirs = (
        _chroot(workshop, BASES[name][0], workshop.base(name, direct=direct), *asked) for direct in (True, False)
    )
    assert ours == theirs
    left_out = [line.split(maxsplit=1) for line in ours.splitlines()]
    assert {said for said, _ in left_out} == {"missing"}
    assert len(left_out) > 100


@pytest.mark.parametrize("name", BASES)
def test_packages_come_and_go_with_apt_afterwards(workshop: Workshop, name: str) -> None:
    suite, _ = BASES[name]
    lower = workshop.base(name, direct=True)
    upper = workshop.folder / f"{name}-later"
    upper.mkdir()
    with workshop.machine(suite).overlay((lower,), upper) as root:
        before = _chroot(workshop, suite, root, "dpkg --list")
        _chroot(workshop, suite, root, "apt-get -qq install bc file", "echo 2^70 | bc; file /bin/ls; dpkg --audit")
        _chroot(workshop, suite, root, "apt-get -qq purge --autoremove bc file")
        assert _chroot(workshop, suite, root, "dpkg --list") == before
        _chroot(workshop, suite, root, "dpkg --purge mawk || dpkg --purge --force-depends mawk", "dpkg --purge tzdata")
        assert not (root / "usr/bin/mawk").exists()
        assert not (root / "usr/share/zoneinfo/Europe").exists()


def _own_packages(place: Path) -> tuple[tuple[Deb, ...], ...]:
    """Packages that use what dpkg offers: those that are there first, and those that come on top."""
    log = 'echo "$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME $*" >> /var/lib/listener/log'
    tool = (member("./usr/bin/tool", mode=0o755), b"tool")
    packages: dict[str, tuple[list[Member], dict[str, str]]] = {
        "listener": (
            [folder("./var/lib/listener"), (member("./etc/listener.conf"), b"conf")],
            {
                "triggers": "interest-noawait /usr/share/listened\ninterest-noawait listened\n",
                "postinst": f"#!/bin/sh -e\n{log}\n",
                "conffiles": "/etc/listener.conf\n",
            },
        ),
        # Nothing in it has a checksum: dpkg makes them.
        "speaker": (
            [
                folder("./usr/share/listened"),
                (member("./usr/share/listened/file"), b"heard"),
                link("./usr/share/listened/same", "./usr/share/listened/file", hard=True),
                (member("./usr/share/setuid", mode=0o4755, uid=1, gid=8), b"x"),
                (member("./etc/speaker.conf", mode=0o600), b"conf"),
                link("./etc/speaker.link", "speaker.conf"),
            ],
            {
                "triggers": "activate-noawait listened\n",
                "preinst": f"#!/bin/sh -e\n{log}\n! test -e /usr/share/listened\n",
                "postinst": f"#!/bin/sh -e\n{log}\ntest -e /etc/speaker.conf\n",
                "conffiles": "/etc/speaker.conf\nremove-on-upgrade /etc/speaker.old\n",
                "md5sums": "",
            },
        ),
        "diverter": (
            [tool],
            {"preinst": "#!/bin/sh -e\ndpkg-divert --package diverter --rename --divert /usr/bin/real /usr/bin/tool\n"},
        ),
        "diverted": ([tool, (member("./usr/bin/other"), b"")], {"preinst": f"#!/bin/sh -e\n{log}\n"}),
        "twice": ([], {"triggers": "interest /usr/share/listened\n", "control": "Multi-Arch: same\n"}),
    }
    made = {}
    for name, (members, control) in packages.items():
        fields = f"Package: {name}\nVersion: 1:1\nArchitecture: amd64\nMaintainer: t <t@example.org>\nDescription: x\n"
        control["control"] = fields + control.get("control", "")
        if not control.get("md5sums", "x"):
            del control["md5sums"]
        made[name] = Deb(name, "1:1", "amd64", 0, "")
        write_deb(place / made[name].file_name, members, control)
    return tuple(
        tuple(made[name] for name in names) for names in (("diverter", "listener"), ("diverted", "speaker", "twice"))
    )


def test_what_dpkg_offers_to_packages_works_as_with_dpkg(workshop: Workshop) -> None:
    archives = workshop.folder / "archives"
    archives.mkdir()
    groups = _own_packages(archives)
    began = time.time()
    trees = []
    for direct in (True, False):
        upper = workshop.folder / f"own-{direct}"
        upper.mkdir()
        machine = workshop.machine("bookworm", archives)
        with machine.overlay((workshop.base("bookworm", direct=True),), upper) as merged:
            with machine.chroot(merged) as root:
                root.bind(archives, "/run/archives")
                for debs in groups:
                    if direct:
                        InstallPackages(tuple(deb.name for deb in debs), (), debs, direct=True).run(machine, root)
                    else:
                        root.run(("dpkg", "--install", *(f"/run/archives/{deb.file_name}" for deb in debs)))
            trees.append(read_tree(merged, began))
    assert [(path, what) for path, what in differences(*trees) if not _allowance(path, what)] == []

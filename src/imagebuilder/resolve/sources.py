"""Where packages come from: the tree's `apt_server`, else the mirror that this host's own apt uses.

Pure: the host's view of its sources comes in as the text that
`apt-get indextargets` prints in `TARGET_FORMAT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imagebuilder.spec.settings import Settings

TARGET_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What Debian and Ubuntu do differently."""

    name: str
    mirror: str
    security_mirror: str
    snapshot_server: str
    snapshot_folder: str
    components: str
    keyring: str
    keyring_package: str

    def releases(self, suite: str) -> tuple[tuple[str, bool], ...]:
        """The releases of a suite, each with whether it comes from the security mirror."""
        if suite in ("sid", "unstable"):
            return ((suite, False),)
        return ((suite, False), (f"{suite}-updates", False), (f"{suite}-security", True))


DEBIAN = Distribution(
    name="debian",
    mirror="http://deb.debian.org/debian",
    security_mirror="http://deb.debian.org/debian-security",
    snapshot_server="snapshot.debian.org",
    snapshot_folder="/archive",
    components="main non-free-firmware",
    keyring="/usr/share/keyrings/debian-archive-keyring.gpg",
    keyring_package="debian-archive-keyring",
)
UBUNTU = Distribution(
    name="ubuntu",
    mirror="http://archive.ubuntu.com/ubuntu",
    security_mirror="http://security.ubuntu.com/ubuntu",
    snapshot_server="snapshot.ubuntu.com",
    snapshot_folder="",
    components="main restricted universe",
    keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    keyring_package="ubuntu-keyring",
)
_UBUNTU_SUITES = frozenset({"trusty", "xenial", "bionic", "focal", "jammy", "noble", "questing", "resolute"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a build's packages come from.

    `lines` are what the build reads, signed by `keyring` (a path on the host).
    """

    lines: tuple[str, ...]
    keyring: str
    mirror: str
    from_host: bool
    is_snapshot: bool = False


def distribution_of(suite: str) -> Distribution:
    """Debian, unless the suite is one of Ubuntu's."""
    return UBUNTU if suite in _UBUNTU_SUITES else DEBIAN


def published(settings: Settings) -> tuple[str, ...]:
    """What images get as /etc/apt/sources.list: public mirrors, because the build's own may be a cache on loopback."""
    suite = settings.debootstrap_release
    distribution = distribution_of(suite)
    server = _served(_address(settings.apt_server), distribution) if settings.apt_server else {}
    known = _Known.of(distribution, suite, server)
    lines = _lines(_public(distribution), distribution, suite, "")
    return (*lines, *known.others(settings.repository_lists, options=""))


def sources_for(settings: Settings, host_targets: str, host_options: str = "") -> Sources:
    """The sources of the tree's suite.

    `host_options` (sources.list(5)) are given to the host's own mirror only.
    """
    suite = settings.debootstrap_release
    distribution = distribution_of(suite)
    from_host = False
    options = [f"signed-by={distribution.keyring}"]
    if settings.snapshot:
        mirrors = _snapshots(settings.apt_server, settings.snapshot, distribution)
        options.append("check-valid-until=no")  # what was signed at that time has run out since
    elif settings.apt_server:
        mirrors = _served(_address(settings.apt_server), distribution)
    else:
        own = _host_mirrors(host_targets, distribution)
        mirrors = {**_public(distribution), **own}
        from_host = bool(own)
        options += [host_options] if from_host and host_options else []
    given = " ".join(options)
    known = _Known.of(distribution, suite, mirrors)
    lines = _lines(mirrors, distribution, suite, f"[{given}] ")
    return Sources(
        lines=(*lines, *known.others(settings.repository_lists, given)),
        keyring=distribution.keyring,
        mirror=mirrors[False],
        from_host=from_host,
        is_snapshot=settings.snapshot is not None,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the build reads anyway. apt refuses one suite of one mirror with different options, and trees of 2015
    name the main mirror once more, without any.
    """

    mirrors: set[str]
    distribution: Distribution
    suite: str

    @classmethod
    def of(cls, distribution: Distribution, suite: str, mirrors: Mapping[bool, str]) -> _Known:
        """What is known by these mirrors, and by the public ones."""
        urls = {url.rstrip("/") for url in (*mirrors.values(), *_public(distribution).values())}
        return cls(urls, distribution, suite)

    def others(self, lines: Iterable[str], options: str) -> tuple[str, ...]:
        """Lines of sources.list that bring something else."""
        return tuple(line for given in lines if (line := self._without(given, options)))

    def _without(self, line: str, options: str) -> str:
        """A line less the components that are known, "" if all are; with `options` for the rest."""
        words = line.split()
        if len(words) < 4 or words[1].startswith("[") or words[1].rstrip("/") not in self.mirrors:
            return line
        if words[2] not in {name for name, _ in self.distribution.releases(self.suite)}:
            return line
        components = [word for word in words[3:] if word not in self.distribution.components.split()]
        head = ["deb", f"[{options}]"] if options else ["deb"]
        return " ".join([*head, *words[1:3], *components]) if components else ""


def _public(distribution: Distribution) -> dict[bool, str]:
    return {False: distribution.mirror, True: distribution.security_mirror}


def _lines(mirrors: Mapping[bool, str], distribution: Distribution, suite: str, options: str) -> tuple[str, ...]:
    releases = distribution.releases(suite)
    return tuple(f"deb {options}{mirrors[security]} {name} {distribution.components}" for name, security in releases)


def _address(server: str) -> str:
    return server if "://" in server else f"http://{server}"


def _snapshots(server: str | None, moment: str, distribution: Distribution) -> dict[bool, str]:
    """The mirrors as they were at a moment, under the paths of the distribution's own snapshot server."""
    base = _address(server or distribution.snapshot_server) + distribution.snapshot_folder
    return {security: f"{mirror}/{moment}" for security, mirror in _served(base, distribution).items()}


def _served(base: str, distribution: Distribution) -> dict[bool, str]:
    """The mirror and the security mirror behind one server, under the paths that apt-cacher-ng and mirrors use."""
    security = f"{distribution.name}-security" if distribution is DEBIAN else distribution.name
    return {False: f"{base}/{distribution.name}", True: f"{base}/{security}"}


def _host_mirrors(targets: str, distribution: Distribution) -> dict[bool, str]:
    """The mirrors of this host's own distribution, if it is the wanted one."""
    mirrors: dict[bool, str] = {}
    for line in targets.splitlines():
        uri, release, component, origin = line.split("|")
        if component != "main" or origin.lower() != distribution.name or not uri.startswith("http"):
            continue
        name, _, part = release.partition("-")
        if not name.isalpha() or part not in ("", "security"):
            continue
        mirrors.setdefault(part == "security", uri.rstrip("/"))
    return mirrors if False in mirrors else {}

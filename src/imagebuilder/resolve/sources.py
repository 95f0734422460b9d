"""Where packages come from: the tree's `apt_server`, else the mirror that this host's own apt uses.

Pure: the host's view of its sources comes in as the text that
`apt-get indextargets` prints in `TARGET_FORMAT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagebuilder.spec.settings import Settings

TARGET_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What Debian and Ubuntu do differently."""

    name: str
    mirror: str
    security_mirror: str
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
    components="main non-free-firmware",
    keyring="/usr/share/keyrings/debian-archive-keyring.gpg",
    keyring_package="debian-archive-keyring",
)
UBUNTU = Distribution(
    name="ubuntu",
    mirror="http://archive.ubuntu.com/ubuntu",
    security_mirror="http://security.ubuntu.com/ubuntu",
    components="main restricted universe",
    keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    keyring_package="ubuntu-keyring",
)
_UBUNTU_SUITES = frozenset({"trusty", "xenial", "bionic", "focal", "jammy", "noble", "questing", "resolute"})


@dataclass(frozen=True, slots=True)
class Sources:
    """An image's package sources.

    `lines` are what the build reads, signed by `keyring` (a path on the host);
    `published` is what the image itself gets as /etc/apt/sources.list: public
    mirrors, because the build's own may be a cache on loopback.
    """

    lines: tuple[str, ...]
    published: tuple[str, ...]
    keyring: str
    mirror: str
    from_host: bool


def distribution_of(suite: str) -> Distribution:
    """Debian, unless the suite is one of Ubuntu's."""
    return UBUNTU if suite in _UBUNTU_SUITES else DEBIAN


def sources_for(settings: Settings, host_targets: str, host_options: str = "") -> Sources:
    """The sources of the tree's suite.

    `host_options` (sources.list(5)) are given to the host's own mirror only.
    """
    suite = settings.debootstrap_release
    distribution = distribution_of(suite)
    public = {False: distribution.mirror, True: distribution.security_mirror}
    if settings.apt_server:
        mirrors = _served(settings.apt_server, distribution)
        from_host = False
    else:
        own = _host_mirrors(host_targets, distribution)
        mirrors = {**public, **own}
        from_host = bool(own)
    options = " ".join(filter(None, (f"signed-by={distribution.keyring}", host_options if from_host else "")))
    known = _Known({url.rstrip("/") for url in (*mirrors.values(), *public.values())}, distribution, suite)
    extra = tuple(line for given in settings.repository_lists if (line := known.without(given, options)))
    return Sources(
        lines=(*_lines(mirrors, distribution, suite, f"[{options}] "), *extra),
        published=(*_lines(public, distribution, suite, ""), *extra),
        keyring=distribution.keyring,
        mirror=mirrors[False],
        from_host=from_host,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the build reads anyway. apt refuses one suite of one mirror with different options, and trees of 2015
    name the main mirror once more, without any.
    """

    mirrors: set[str]
    distribution: Distribution
    suite: str

    def without(self, line: str, options: str) -> str:
        """A line of sources.list less the components that are known, "" if all are; with `options` for the rest."""
        words = line.split()
        if len(words) < 4 or words[1].startswith("[") or words[1].rstrip("/") not in self.mirrors:
            return line
        if words[2] not in {name for name, _ in self.distribution.releases(self.suite)}:
            return line
        components = [word for word in words[3:] if word not in self.distribution.components.split()]
        return " ".join(["deb", f"[{options}]", *words[1:3], *components]) if components else ""


def _lines(mirrors: Mapping[bool, str], distribution: Distribution, suite: str, options: str) -> tuple[str, ...]:
    releases = distribution.releases(suite)
    return tuple(f"deb {options}{mirrors[security]} {name} {distribution.components}" for name, security in releases)


def _served(server: str, distribution: Distribution) -> dict[bool, str]:
    """The mirror and the security mirror behind one server, under the paths that apt-cacher-ng and mirrors use."""
    base = server if "://" in server else f"http://{server}"
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

"""Where packages come from: the tree's server, else the mirror of the host's own apt, else the public one."""

from __future__ import annotations

from typing import Any

import pytest

from imagebuilder.resolve.sources import TARGET_FORMAT, published, sources_for
from imagebuilder.spec.settings import Settings

KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"
PUBLIC = (
    "deb http://deb.debian.org/debian bookworm main non-free-firmware",
    "deb http://deb.debian.org/debian bookworm-updates main non-free-firmware",
    "deb http://deb.debian.org/debian-security bookworm-security main non-free-firmware",
)
MOMENT = "20260101T000000Z"
HOST = """\
http://near/debian/|bookworm|main|Debian
http://near/debian/|bookworm|contrib|Debian
http://near/debian/|bookworm-updates|main|Debian
http://near/debian-security/|bookworm-security|main|Debian
"""


def _mirrors(host: str = "", **settings: Any) -> list[str]:
    """URI and suite of every line that a build reads."""
    lines = sources_for(Settings(**settings), host).lines
    return [" ".join(line.partition("] ")[2].split()[:2]) for line in lines]


SERVED: tuple[tuple[str, str], ...] = (
    ("cache", "http://cache"),
    ("192.168.100.5:3142", "http://192.168.100.5:3142"),
    ("[fd00::5]:3142", "http://[fd00::5]:3142"),
    ("https://mirror.example.org", "https://mirror.example.org"),
)


@pytest.mark.parametrize(("server", "base"), SERVED)
def test_apt_server_serves_both_archives_whatever_the_host_uses(server: str, base: str) -> None:
    assert _mirrors(HOST, apt_server=server) == [
        f"{base}/debian bookworm",
        f"{base}/debian bookworm-updates",
        f"{base}/debian-security bookworm-security",
    ]


HOSTS: tuple[tuple[str, str, str, str], ...] = (
    ("nothing", "", "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"),
    ("its own mirror", HOST, "http://near/debian", "http://near/debian-security"),
    (
        "a mirror under another name",
        "https://x/mirrors/deb|trixie|main|Debian\n",
        "https://x/mirrors/deb",
        "http://deb.debian.org/debian-security",
    ),
    (
        "somebody else's packages for Debian, listed first",
        "http://vendor/debian/|bookworm|main|Vendor\n" + HOST,
        "http://near/debian",
        "http://near/debian-security",
    ),
    (
        "only backports, and a mirror that a build cannot see",
        "http://x/debian/|bookworm-backports|main|Debian\nfile:/srv/debian/|bookworm|main|Debian\n",
        "http://deb.debian.org/debian",
        "http://deb.debian.org/debian-security",
    ),
    (
        "another distribution",
        "http://x/ubuntu/|noble|main|Ubuntu\n",
        "http://deb.debian.org/debian",
        "http://deb.debian.org/debian-security",
    ),
)


@pytest.mark.parametrize(("name", "host", "mirror", "security"), HOSTS, ids=[host[0] for host in HOSTS])
def test_without_a_server_the_hosts_mirror_is_used(name: str, host: str, mirror: str, security: str) -> None:
    expected = [f"{mirror} bookworm", f"{mirror} bookworm-updates", f"{security} bookworm-security"]
    assert _mirrors(host) == expected
    assert sources_for(Settings(), host).mirror == mirror


def test_lists_of_the_host_have_the_fields_that_we_read() -> None:
    assert TARGET_FORMAT.count("|") == HOST.splitlines()[0].count("|")


SUITES: tuple[tuple[str, list[str]], ...] = (
    ("trixie", ["debian trixie", "debian trixie-updates", "debian-security trixie-security"]),
    ("sid", ["debian sid"]),
    ("unstable", ["debian unstable"]),
    ("noble", ["ubuntu noble", "ubuntu noble-updates", "ubuntu noble-security"]),
    ("trusty", ["ubuntu trusty", "ubuntu trusty-updates", "ubuntu trusty-security"]),
)


@pytest.mark.parametrize(("suite", "expected"), SUITES)
def test_suite_decides_about_distribution_and_releases(suite: str, expected: list[str]) -> None:
    assert _mirrors(debootstrap_release=suite, apt_server="s") == [f"http://s/{line}" for line in expected]


def test_public_mirrors_of_ubuntu_are_ubuntus() -> None:
    sources = sources_for(Settings(debootstrap_release="noble"), HOST)
    assert sources.keyring == "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
    assert sources.lines[0] == (
        f"deb [signed-by={sources.keyring}] http://archive.ubuntu.com/ubuntu noble main restricted universe"
    )
    assert "http://security.ubuntu.com/ubuntu noble-security" in sources.lines[2]


def test_image_gets_public_mirrors_because_the_builds_own_may_be_a_cache_on_loopback() -> None:
    for settings in (Settings(), Settings(apt_server="127.0.0.1:3142"), Settings(snapshot=MOMENT)):
        assert published(settings) == PUBLIC


def test_every_line_of_ours_is_signed_by_the_distributions_keys() -> None:
    for settings in (Settings(), Settings(apt_server="x")):
        assert all(line.startswith(f"deb [signed-by={KEY}] http") for line in sources_for(settings, HOST).lines)


def test_hosts_options_are_for_its_own_mirror_only() -> None:
    option = "check-valid-until=no"
    assert f"[signed-by={KEY} {option}]" in sources_for(Settings(), HOST, option).lines[0]
    for settings, host in ((Settings(apt_server="x"), HOST), (Settings(), "")):
        sources = sources_for(settings, host, option)
        assert not sources.from_host
        assert not [line for line in sources.lines if option in line]


def test_repository_lists_are_read_and_published() -> None:
    extra = ("deb [signed-by=/k] http://x/y z main",)
    settings = Settings(repository_lists=extra)
    assert sources_for(settings, "").lines[3:] == published(settings)[3:] == extra


def test_line_that_says_less_than_we_read_anyway_is_left_out_and_what_it_adds_is_not() -> None:
    line = "deb http://deb.debian.org/debian/ bookworm main contrib"
    settings = Settings(repository_lists=(line, "deb http://near/debian bookworm main"))
    assert sources_for(settings, HOST).lines[3:] == (f"deb [signed-by={KEY}] {line[4:].replace('main ', '')}",)
    # Images do not depend on the host, and their own lines have no options that apt could find at odds.
    assert published(settings)[3:] == (line.replace("main ", ""), "deb http://near/debian bookworm main")
    assert published(settings.model_copy(update={"apt_server": "near"}))[3:] == (line.replace("main ", ""),)


SNAPSHOTS: tuple[tuple[dict[str, str], str, str], ...] = (
    ({}, "http://snapshot.debian.org/archive/debian/{} bookworm", "http://snapshot.debian.org/archive/debian-security"),
    ({"apt_server": "s:81"}, "http://s:81/archive/debian/{} bookworm", "http://s:81/archive/debian-security"),
    (
        {"debootstrap_release": "noble"},
        "http://snapshot.ubuntu.com/ubuntu/{} noble",
        "http://snapshot.ubuntu.com/ubuntu",
    ),
    ({"debootstrap_release": "noble", "apt_server": "s"}, "http://s/ubuntu/{} noble", "http://s/ubuntu"),
)


@pytest.mark.parametrize(("settings", "first", "security"), SNAPSHOTS)
def test_snapshot_is_a_folder_of_its_server(settings: dict[str, str], first: str, security: str) -> None:
    mirrors = _mirrors(HOST, snapshot=MOMENT, **settings)
    assert mirrors[0] == first.format(MOMENT)
    assert mirrors[2].startswith(f"{security}/{MOMENT} ")


def test_snapshot_may_have_run_out_and_is_signed_all_the_same() -> None:
    sources = sources_for(Settings(snapshot=MOMENT, repository_lists=("deb http://x/y z main",)), HOST, "check-date=no")
    assert all(f"[signed-by={KEY} check-valid-until=no]" in line for line in sources.lines[:3])
    assert sources.lines[3:] == ("deb http://x/y z main",)
    assert (sources.is_snapshot, sources.from_host) == (True, False)


KNOWN: tuple[tuple[str, str], ...] = (
    ("deb http://near/debian/ bookworm-updates main", ""),
    ("deb http://deb.debian.org/debian bookworm main", ""),
    ("deb http://near/debian bookworm main contrib", f"deb [signed-by={KEY}] http://near/debian bookworm contrib"),
    ("deb http://near/debian bookworm-backports main", "deb http://near/debian bookworm-backports main"),
    ("deb [signed-by=/k] http://near/debian bookworm main", "deb [signed-by=/k] http://near/debian bookworm main"),
    ("deb http://other/debian bookworm main", "deb http://other/debian bookworm main"),
)


@pytest.mark.parametrize(("line", "left"), KNOWN)
def test_line_that_names_what_is_read_anyway_is_left_out(line: str, left: str) -> None:
    sources = sources_for(Settings(repository_lists=(line,)), HOST)
    assert sources.lines[3:] == ((left,) if left else ())

"""dpkg's database, as text: what is read of it, and what is written into it."""

from __future__ import annotations

import pytest

from imagebuilder.steps import dpkg_database as database
from imagebuilder.steps.dpkg_database import Conffile, Diversion

CONTROL = """\
Package: less
Version: 590
Architecture: amd64
Depends: libc6 (>= 2.33),
 libtinfo6
Description: pager
 It shows
 .
 texts.
"""


def test_fields_keep_their_further_lines() -> None:
    fields = database.read_fields(CONTROL)
    assert list(fields) == ["Package", "Version", "Architecture", "Depends", "Description"]
    assert fields["Depends"] == "libc6 (>= 2.33),\n libtinfo6"
    assert fields["Description"] == "pager\n It shows\n .\n texts."


def test_known_packages_are_those_that_have_left_something() -> None:
    states = {"a": "install ok installed", "b": "deinstall ok config-files", "c": "purge ok not-installed"}
    status = "".join(f"Package: {name}\nStatus: {state}\nVersion: 1\n\n" for name, state in states.items())
    assert list(database.known(status)) == ["a", "b"]


def test_stanza_of_an_unpacked_package() -> None:
    conffiles = (Conffile("/etc/a"), Conffile("/etc/b"), Conffile("/etc/c", "remove-on-upgrade"))
    stanza = database.unpacked_stanza(CONTROL, conffiles, {"/etc/a": "0cc1"})
    assert stanza == (
        CONTROL.replace("less\n", "less\nStatus: install ok unpacked\n", 1)
        + "Conffiles:\n /etc/a 0cc1\n /etc/b newconffile\n /etc/c newconffile remove-on-upgrade\n\n"
    )
    assert "Conffiles" not in database.unpacked_stanza(CONTROL, (), {})


def test_conffiles_may_have_flags() -> None:
    text = "/etc/a\nremove-on-upgrade /etc/b \n\n/etc/with space\n"
    assert database.read_conffiles(text) == (
        Conffile("/etc/a"),
        Conffile("/etc/b", "remove-on-upgrade"),
        Conffile("/etc/with space"),
    )


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"Multi-Arch": "same"}, "less:amd64"),
        ({"Multi-Arch": "foreign"}, "less"),
        ({}, "less"),
    ],
)
def test_package_that_may_be_there_twice_is_named_with_its_architecture(fields: dict[str, str], name: str) -> None:
    assert database.info_name({"Package": "less", "Architecture": "amd64", **fields}) == name


def test_interests_go_into_one_file_for_paths_and_into_one_for_each_name() -> None:
    text = """\
# comment: interest /not
interest /usr/share/a
interest-noawait /usr/lib/b
interest-await ldconfig
  interest-noawait update-c
activate-noawait ldconfig
"""
    assert list(database.interests("p", text)) == [
        ("File", "/usr/share/a p"),
        ("File", "/usr/lib/b p/noawait"),
        ("ldconfig", "p"),
        ("update-c", "p/noawait"),
    ]


def test_new_package_activates_triggers_by_name_and_those_of_the_folders_of_its_files() -> None:
    waiting = "/usr/lib/udev p/noawait\n/usr/share/a p\n/usr/share/a q\n/usr/lib/u r\n/etc/exact s\n"
    paths = ["/.", "/usr", "/usr/lib", "/usr/lib/udev", "/usr/lib/udev/x", "/usr/share/a/b/c", "/etc/exact"]
    triggers = "interest /usr/share/x\nactivate-noawait ldconfig\n"
    activated = list(database.activations(triggers, paths, waiting))
    assert activated == ["ldconfig", "/usr/lib/udev", "/usr/share/a", "/etc/exact"]
    assert list(database.activations("", ["/usr/lib/udevx"], waiting)) == []


def test_diversions_have_three_lines_each() -> None:
    text = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/x\n/usr/bin/x.real\n:\n"
    expected = (Diversion("/bin/sh", "/bin/sh.distrib", "dash"), Diversion("/usr/bin/x", "/usr/bin/x.real", ":"))
    assert database.read_diversions(text) == expected
    assert database.read_diversions("") == ()


def test_overridden_paths() -> None:
    assert database.overridden("root mail 2755 /usr/bin/a b\n#0 #1 644 /x\n") == {"/usr/bin/a b", "/x"}


def test_package_that_is_asked_for_is_not_automatic_any_more() -> None:
    def state(name: str, value: int = 1) -> str:
        return f"Package: {name}\nArchitecture: amd64\nAuto-Installed: {value}\n\n"

    before = state("a") + state("b") + state("c", 0)
    assert database.automatic(before, {"b"}, ["d"], "amd64") == state("a") + state("c", 0) + state("d")
    assert database.automatic(before, (), (), "amd64") == before

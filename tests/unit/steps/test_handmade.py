"""What is kept of an overlay that was made by hand, and the config file that says the same."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from imagebuilder.errors import UserError
from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.footing import footing_of
from imagebuilder.steps.handmade import config_of, kept
from imagebuilder.steps.layer import Entry, capture
from imagebuilder.steps.view import View, view_of
from layers import layer, status

VOLATILE = ("/run/x", "/tmp/a/b", "/var/log/syslog", "/var/cache/apt/x", "/etc/machine-id", "/root/.bash_history")


def test_volatile_paths_and_folders_that_only_led_there_are_left_out() -> None:
    below = view_of(layer(dict.fromkeys(("/etc/x", "/opt/y", "/root/z", "/var/z"), ""))).paths
    entries = layer({**dict.fromkeys(VOLATILE, "x"), "/etc/mine": "m", "/opt/new/a": "a"})
    assert [entry.path for entry in kept(entries, below)] == [
        "/",
        "/etc",
        "/etc/mine",
        "/opt",
        "/opt/new",
        "/opt/new/a",
    ]


def test_folder_that_is_new_or_has_another_mode_is_kept() -> None:
    empty = Entry(Member(b"opt/empty", stat.S_IFDIR | 0o700))
    entries = cpio.number([*layer({"/opt/x/volatile": "", "/etc/machine-id": ""}), empty])
    entries = [
        replace(e, member=replace(e.member, mode=stat.S_IFDIR | 0o711)) if e.name == b"etc" else e for e in entries
    ]
    below = view_of(layer({"/etc/a": "", "/opt/a": ""})).paths
    assert [entry.path for entry in kept(entries, below)][:4] == ["/", "/etc", "/opt", "/opt/empty"]


def test_database_that_the_initrd_made_of_those_of_all_layers_is_left_out() -> None:
    files = {"/etc/passwd": "root:0\n", "/etc/group": "root:0\nmine:5\n", "/etc/touched": "x"}
    below = view_of(layer({**files, "/etc/group": "root:0\n"})).paths
    assert [entry.path for entry in kept(layer(files), below)] == ["/", "/etc", "/etc/group", "/etc/touched"]


def test_linked_file_keeps_its_content_when_its_last_name_goes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    for name in ("b", "tmp"):
        os.link(tmp_path / "a", tmp_path / name)
    found = {entry.path: entry.member for entry in kept(capture(tmp_path), {})}
    assert [(path, member.size, member.links) for path, member in found.items()] == [
        ("/", 0, 1),
        ("/a", 0, 2),
        ("/b", 7, 2),
    ]


def test_device_is_refused() -> None:
    device = Entry(Member(b"opt/disk", stat.S_IFBLK | 0o600, device=(8, 0)))
    with pytest.raises(UserError, match="/opt/disk is a device node"):
        kept(cpio.number([*layer({"/a": ""}), device]), {})


def test_config_file_says_what_was_done() -> None:
    before = {"/etc/old": "o", "/var/lib/dpkg/status": status(keeps="1", goes="1"), "/usr/bin/gone": "g"}
    upper = layer(
        {
            "/etc/mine": "mine",
            "/etc/old": None,
            "/usr/bin/gone": None,
            "/usr/bin/tool": "t",
            "/var/lib/dpkg/status": status(keeps="1", tool="2"),
            "/var/lib/dpkg/info/tool.list": "/usr/bin/tool\n",
            "/etc/passwd": "p",
        },
        {"/etc/link": "a b"},
    )
    upper = [replace(e, member=replace(e.member, uid=5, mode=0o100600)) if e.name == b"etc/mine" else e for e in upper]
    below: View = view_of(layer(before))
    config = config_of("x", "base", upper, footing_of((), view_of(upper), below), {"/usr/bin/tool", "/usr/bin/gone"})
    assert yaml.safe_load(config.text) == {
        "image": {
            "base": "base",
            "packages": ["tool"],
            "files": [{"src": "files/x/etc/mine", "dest": "/etc/mine", "mode": "0600", "owner": "5", "group": "0"}],
            "run": ["dpkg --purge goes", "ln -sfn 'a b' /etc/link", "rm -rf /etc/old"],
        }
    }
    assert {place: entry.content for place, entry in config.files.items()} == {"files/x/etc/mine": b"mine"}


def test_config_file_admits_what_it_cannot_say() -> None:
    pipe = Entry(Member(b"etc/pipe", stat.S_IFIFO | 0o600))
    upper = cpio.number([*layer({}), pipe])
    text = config_of("x", "base", upper, footing_of((), view_of(upper), View()), ()).text
    assert text.splitlines()[-1] == "# not said here: all about /etc/pipe"

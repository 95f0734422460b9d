"""What a layer changed in databases of the system, and that it can be done again to what others made of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuilder.steps.databases import CACHE, changes, recorded, records
from initrd_shell import PARTS

# The node's awk, and the usual one of a build host.
AWKS = (("busybox", "awk"), ("awk",))
KINDS = ("lines", "members", "set", "stanzas")


def _merge(awk: tuple[str, ...], kind: str, said: bytes, content: bytes, folder: Path) -> bytes:
    (folder / "said").write_bytes(said)
    (folder / "content").write_bytes(content)
    argv = [*awk, "-v", f"kind={kind}", "-f", *map(str, (PARTS / "merge.awk", folder / "said", folder / "content"))]
    return subprocess.run(argv, check=True, capture_output=True).stdout


MERGED: Mapping[str, tuple[str, str, str, str, str]] = {
    # kind, base, one overlay's, the other's, both
    "both add": ("lines", "root:0\n", "root:0\na:1\n", "root:0\nb:2\n", "root:0\na:1\nb:2\n"),
    "one changes, one removes": ("lines", "a:1\nb:1\nc:1\n", "a:2\nb:1\nc:1\n", "a:1\nc:1\n", "a:2\nc:1\n"),
    "both add the same": ("lines", "", "a:1\n", "a:1\n", "a:1\n"),
    "nothing is changed by the second": ("lines", "a:1\n", "a:2\n", "a:1\n", "a:2\n"),
    "both join a group": ("members", "g:x:1:old\n", "g:x:1:old,a\n", "g:x:1:old,b\n", "g:x:1:old,a,b\n"),
    "one leaves what the other joins": ("members", "g:x:1:old\n", "g:x:1:\n", "g:x:1:old,b\n", "g:x:1:b\n"),
    "both make a group": ("members", "", "g:x:1:a\n", "g:x:1:b\n", "g:x:1:b,a\n"),
    "a group with another id": ("members", "g:x:1:old\n", "g:x:1:old,a\n", "g:x:2:\n", "g:x:2:a\n"),
    "one removes the group": ("members", "g:x:1:\n", "", "g:x:1:a\n", ""),
    "lines that are their own keys": ("set", "/bin/sh\n/x\n", "/bin/sh\n", "/bin/sh\n/x\n/a b\n", "/bin/sh\n/a b\n"),
    "packages lie where they belong": (
        "stanzas",
        *("Package: b\nArchitecture: all\n\n", "Package: a\nArchitecture: all\n\nPackage: b\nArchitecture: all\n\n"),
        "Package: b\nArchitecture: all\n\nPackage: b-x\nArchitecture: all\n\nPackage: c\nArchitecture: all\n\n",
        "".join(f"Package: {name}\nArchitecture: all\n\n" for name in ("a", "b", "b-x", "c")),
    ),
    "an upgrade beside a removal": (
        "stanzas",
        "Package: a\nArchitecture: all\nVersion: 1\nDescription: x\n .\n y\n\nPackage: b\nArchitecture: all\n\n",
        "Package: a\nArchitecture: all\nVersion: 2\nDescription: x\n .\n y\n\nPackage: b\nArchitecture: all\n\n",
        "Package: a\nArchitecture: all\nVersion: 1\nDescription: x\n .\n y\n\n",
        "Package: a\nArchitecture: all\nVersion: 2\nDescription: x\n .\n y\n\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("awk", AWKS, ids=lambda awk: awk[0])
@pytest.mark.parametrize(("kind", "base", "one", "other", "both"), MERGED.values(), ids=MERGED.keys())
def test_two_layers_changes_are_both_kept(
    tmp_path: Path, awk: tuple[str, ...], kind: str, base: str, one: str, other: str, both: str
) -> None:
    said = [changes(kind, base.encode(), text.encode()) for text in (one, other)]
    first = _merge(awk, kind, said[0], base.encode(), tmp_path)
    assert records(kind, first) == records(kind, one.encode())
    assert _merge(awk, kind, said[1], first, tmp_path).decode() == both


_KEYS = st.sampled_from(["a", "a-b", "ab", "b", "\udcff"])
_ITEMS = st.dictionaries(_KEYS, st.lists(st.sampled_from(["u", "v", "w"]), unique=True, max_size=3), max_size=4)


def _content(kind: str, items: Mapping[str, list[str]]) -> bytes:
    text = ""
    for key, values in sorted(items.items(), key=lambda item: os.fsencode(item[0])):
        text += {
            "lines": f"{key}:{len(values)}:{values}\n",
            "members": f"{key}:x:{key}:{','.join(values)}\n",
            "set": f"{key} {values}\n",
            "stanzas": f"Package: {key}\nVersion: {len(values)}\nArchitecture: all\nDescription: {values}\n .\n\n",
        }[kind]
    return os.fsencode(text)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(before=_ITEMS, after=_ITEMS)
def test_changes_lead_from_the_old_content_to_the_new(
    tmp_path_factory: pytest.TempPathFactory, kind: str, before: dict[str, list[str]], after: dict[str, list[str]]
) -> None:
    old, new = _content(kind, before), _content(kind, after)
    said = changes(kind, old, new)
    assert (said == b"") == (records(kind, old) == records(kind, new))
    found = records(kind, _merge(AWKS[0], kind, said, old, tmp_path_factory.getbasetemp()))
    if kind == "members":  # in which order, nobody minds
        assert {key: sorted(text) for key, text in found.items()} == {
            key: sorted(text) for key, text in records(kind, new).items()
        }
    else:
        assert found == records(kind, new)


def test_databases_of_a_layer_are_recorded_and_nothing_else(tmp_path: Path) -> None:
    for name, text in {
        "below/etc/passwd": "root:0\n",
        "upper/etc/passwd": "root:0\nnew:1\n",
        "upper/etc/hosts": "x",
        f"upper/{CACHE}": "\0binary",
        "upper/var/lib/dpkg/triggers/File": "/a b\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "upper/etc/group").symlink_to("passwd")
    assert recorded(tmp_path / "upper", tmp_path / "below") == {
        "1/lines/etc/passwd": b"=new:1\n",
        f"1/cache/{CACHE}": b"",
        "1/set/var/lib/dpkg/triggers/File": b"=/a b\n",
    }


def test_what_was_there_before_is_told_for_the_sake_of_conflicts() -> None:
    old = b"Package: a\nArchitecture: all\nVersion: 1\n\nPackage: b\nArchitecture: all\nVersion: 3\n\n"
    new = b"Package: a\nArchitecture: all\nVersion: 2\n\n"
    assert changes("stanzas", old, new) == (
        b"<a all 1\n\n<b all 3\n\n-b all\n\nPackage: a\nArchitecture: all\nVersion: 2\n\n"
    )
    assert changes("lines", b"a:1\nb:1\n", b"a:2\n") == b"<a:1\n<b:1\n-b\n=a:2\n"

"""Layers as the initrd stacks them, in a root like its own: real squashfs, real overlays, busybox."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member, Source
from initrd_shell import FAILED, make_root

pytestmark = pytest.mark.root

# What /init has done before: a tmpfs for the layers, the modules mounted as a layer of their own.
_SCRIPT = """
mount --bind "$1" /mnt && cd /mnt
for folder in layers run; do mount -t tmpfs tmpfs $folder; done
for folder in dev proc; do mount --rbind /$folder $folder; done
mkdir -p run/imagebuilder layers/modules/usr/lib/modules/6.1
cp layer-*/* layers
exec chroot . /bin/sh -c '
set -u
RUN=/run/imagebuilder
for part in report arguments modules network fetch nodelayer memory layers databases handover; do
    . /usr/lib/imagebuilder/$part.sh
done
log() { echo "nb: $2"; }
fail() { log 3 "error=$1 detail=$2"; exit 99; }
layer_count=$(ls /layers/*.file | wc -l)
stack_layers
cd /newroot
eval "$1"
' sh "$2"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The initrd's folders, busybox with this machine's libraries, and our part."""
    root = tmp_path / "root"
    make_root(root)
    base = tmp_path / "base"
    (base / "db").mkdir(parents=True)
    (base / "db/passwd").write_text("root:0\nbase:5\n")
    for name in ("etc/base", "etc/gone", "etc/folder/inside", "usr/lib/modules/none"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(f"{name}\n")
    (root / "layer-0").mkdir()
    argv = ["mksquashfs", str(base), str(root / "layer-0/0.file"), "-quiet", "-no-progress"]
    subprocess.run(argv, check=True, capture_output=True)
    return root


def _add(root: Path, number: int, *sources: Source, pack: Callable[[bytes], bytes] = gzip.compress) -> None:
    archive = io.BytesIO()
    cpio.write(cpio.number([Source(Member(b".", stat.S_IFDIR | 0o755)), *sources]), archive)
    (root / f"layer-{number}").mkdir()
    (root / f"layer-{number}/{number}.file").write_bytes(pack(archive.getvalue()))


def _file(name: str, content: str = "x") -> Source:
    return Source(Member(name.encode(), stat.S_IFREG | 0o644, size=len(content)), content.encode())


def _folder(name: str) -> Source:
    return Source(Member(name.encode(), stat.S_IFDIR | 0o755))


def _link(name: str, target: str) -> Source:
    return Source(Member(name.encode(), stat.S_IFLNK | 0o777, size=len(target)), target.encode())


def _whiteout(name: str) -> Source:
    return Source(Member(name.encode(), stat.S_IFCHR))


def _stack(root: Path, script: str) -> tuple[int, list[str]]:
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _SCRIPT, "sh", str(root), script]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stdout.splitlines()


def test_overlays_change_the_base_and_the_last_one_wins(root: Path) -> None:
    _add(root, 1, _folder("etc"), _whiteout("etc/gone"), _file("etc/both", "first"), _file("etc/one", "first"))
    _add(root, 2, _folder("etc"), _file("etc/both", "second"))
    status, said = _stack(root, "ls etc; cat etc/base etc/one etc/both")
    assert (status, said) == (0, ["base", "both", "folder", "one", "etc/base", "firstsecond"])


def test_overlay_may_put_a_file_for_a_folder_a_folder_for_a_file_and_delete_what_another_brought(root: Path) -> None:
    _add(root, 1, _folder("etc"), _file("etc/a"), _folder("etc/b"), _file("etc/b/c"), _whiteout("etc/folder"))
    _add(root, 2, _folder("etc"), _folder("etc/a"), _file("etc/a/new"), _file("etc/b"), _folder("etc/folder"),
         _file("etc/folder/fresh"))  # fmt: skip
    _add(root, 3, _folder("etc"), _whiteout("etc/gone"), _whiteout("etc/base"))
    status, said = _stack(root, "find etc | sort")
    assert (status, said) == (0, ["etc", "etc/a", "etc/a/new", "etc/b", "etc/folder", "etc/folder/fresh"])


def test_modules_are_a_layer_above_the_base_and_below_the_overlays(root: Path) -> None:
    _add(
        root,
        1,
        *map(_folder, ("usr", "usr/lib", "usr/lib/modules", "usr/lib/modules/6.1")),
        _file("usr/lib/modules/6.1/x"),
    )
    assert _stack(root, "find usr/lib/modules | sort")[1] == [
        "usr/lib/modules", "usr/lib/modules/6.1", "usr/lib/modules/6.1/x", "usr/lib/modules/none"
    ]  # fmt: skip


def test_files_can_be_written_and_no_layer_is_left_twice_in_memory(root: Path) -> None:
    _add(root, 1, _file("x"))
    status, said = _stack(root, "echo new >etc/base; cat etc/base; ls /layers /layers/upper/etc /jail")
    assert status == 0
    assert said == [
        "new",
        "/jail:",
        "",
        "/layers:",
        *["0", "0.file", "1", "modules", "upper", "work"],
        "",
        "/layers/upper/etc:",
        "base",
    ]


@pytest.mark.parametrize("pack", [lzma.compress, bytes], ids=["xz", "plain"])
def test_other_packings_are_told_by_their_first_bytes(root: Path, pack: Callable[[bytes], bytes]) -> None:
    _add(root, 1, _file("x", "packed"), pack=pack)
    assert _stack(root, "cat x") == (0, ["packed"])


def test_archive_with_much_behind_its_end_is_read_to_the_last_byte(root: Path) -> None:
    _add(root, 1, _file("x", "packed"), pack=lambda data: gzip.compress(data + bytes(1 << 20)))
    assert _stack(root, "cat x") == (0, ["packed"])


def test_squashfs_may_be_an_overlay(root: Path, tmp_path: Path) -> None:
    (tmp_path / "over/etc").mkdir(parents=True)
    (tmp_path / "over/etc/base").write_text("over")
    (root / "layer-1").mkdir()
    argv = ["mksquashfs", str(tmp_path / "over"), str(root / "layer-1/1.file"), "-quiet", "-no-progress"]
    subprocess.run(argv, check=True, capture_output=True)
    assert _stack(root, "cat etc/base") == (0, ["over"])


def test_overlay_packed_by_hand_may_bring_its_own_rc_local(root: Path, tmp_path: Path) -> None:
    """As people have made overlays since 2015: `find .` in no order, every folder named, hard links in it."""
    by_hand = tmp_path / "by-hand"
    (by_hand / "etc/folder").mkdir(parents=True)
    (by_hand / "etc/rc.local").write_text("#!/bin/sh\necho by hand\n")
    (by_hand / "etc/rc.local").chmod(0o755)
    (by_hand / "etc/twin").hardlink_to(by_hand / "etc/rc.local")
    (by_hand / "etc/folder/link").symlink_to("../rc.local")
    pack = "find . | cpio --quiet -H newc -o | gzip"
    archive = subprocess.run(pack, shell=True, cwd=by_hand, capture_output=True, check=True).stdout
    _add(root, 1, pack=lambda _: archive)
    script = "chmod +x etc/rc.local; etc/rc.local; sh etc/folder/link; cat etc/folder/inside; stat -c %h etc/twin"
    assert _stack(root, script) == (0, ["by hand", "by hand", "etc/folder/inside", "2"])


def _changed(name: str, said: str, turn: int = 1) -> list[Source]:
    """A list of what an overlay changed in a database, in the folder beside it."""
    parts = f".on-imagebuilder/changes/{turn}/{name}".split("/")
    return [*(_folder("/".join(parts[:n])) for n in range(1, len(parts))), _file("/".join(parts), said)]


def test_databases_that_several_overlays_changed_have_the_records_of_all(root: Path) -> None:
    _add(root, 1, _folder("db"), _file("db/passwd", "root:0\nbase:5\na:1\n"),
         *_changed("lines/db/passwd", "=a:1\n"))  # fmt: skip
    own = Source(Member(b"db/passwd", stat.S_IFREG | 0o640, size=4, mtime=7), b"b:2\n")
    turns = [*_changed("lines/db/passwd", "=x:9\n"), *_changed("lines/db/passwd", "-x\n-base\n=b:2\n", turn=10)]
    _add(root, 2, _folder("db"), own, *turns)
    script = "cat db/passwd; stat -c '%a %Y' db/passwd; ls -A | grep imagebuilder; find /run -name passwd"
    assert _stack(root, script)[1] == ["root:0", "a:1", "b:2", "640 7"]


def test_overlay_on_a_base_that_was_made_anew_keeps_the_bases_new_records(root: Path) -> None:
    _add(root, 1, _folder("db"), _file("db/passwd", "root:0\na:1\n"), *_changed("lines/db/passwd", "=a:1\n"))
    assert _stack(root, "cat db/passwd")[1] == ["root:0", "base:5", "a:1"]


def test_database_that_comes_without_a_list_counts_as_it_is(root: Path) -> None:
    _add(root, 1, _folder("db"), _file("db/passwd", "a:1\n"), *_changed("lines/db/passwd", "=a:1\n"))
    _add(root, 2, _folder("db"), _file("db/passwd", "by-hand:7\n"))
    _add(root, 3, _folder("db"), _file("db/passwd", "c:3\n"), *_changed("lines/db/passwd", "=c:3\n"))
    assert _stack(root, "cat db/passwd")[1] == ["by-hand:7", "c:3"]


def test_database_that_an_overlay_removes_is_gone(root: Path) -> None:
    _add(root, 1, _folder("db"), _file("db/passwd", "a:1\n"), *_changed("lines/db/passwd", "=a:1\n"))
    _add(root, 2, _folder("db"), _whiteout("db/passwd"))
    assert _stack(root, "ls db") == (0, [])
    _add(root, 3, _folder("db"), _file("db/passwd", "c:3\n"), *_changed("lines/db/passwd", "=c:3\n"))
    assert _stack(root, "cat db/passwd")[1] == ["c:3"]


@pytest.mark.parametrize(("overlays", "expected"), [(1, "stale"), (2, "glibc-ld.so.cache")])
def test_cache_of_libraries_is_made_anew_where_two_overlays_bring_one(root: Path, overlays: int, expected: str) -> None:
    program = Path("/sbin/ldconfig").read_bytes()  # statically linked
    tool = Source(Member(b"sbin/ldconfig", stat.S_IFREG | 0o755, size=len(program)), program)
    for number in range(1, overlays + 1):
        _add(root, number, _folder("etc"), _folder("sbin"), tool, _file("etc/ld.so.cache", "stale"),
             *_changed("cache/etc/ld.so.cache", ""))  # fmt: skip
    assert _stack(root, "head -c 17 etc/ld.so.cache") == (0, [expected])


def _cut(archive: bytes) -> bytes:
    packed = gzip.compress(archive)
    return packed[: len(packed) - 9]


def _flipped(archive: bytes) -> bytes:
    packed = bytearray(gzip.compress(archive))
    packed[len(packed) // 2] ^= 16
    return bytes(packed)


@pytest.mark.parametrize("pack", [_cut, _flipped, lambda archive: archive[:-600]], ids=["cut", "flipped", "short"])
def test_damaged_overlay_ends_the_boot(root: Path, pack: Callable[[bytes], bytes]) -> None:
    _add(root, 1, _file("x", "".join(map(chr, range(32, 127))) * 50), pack=pack)
    status, said = _stack(root, "echo booted")
    assert status == FAILED
    assert said[-1].startswith("nb: error=NB-UNPACK detail=layer 1 cannot be unpacked: ")


def test_what_is_no_layer_ends_the_boot(root: Path) -> None:
    _add(root, 1, pack=lambda _: b"<html>not found</html>")
    assert _stack(root, "echo booted") == (
        FAILED, ["nb: error=NB-FORMAT detail=layer 1 is neither a squashfs nor a cpio archive"]
    )  # fmt: skip


ESCAPES = {
    "a name with dots": [_file("../escaped")],
    "a name through a link": [_link("out", "/usr"), _file("out/escaped")],
    "a name through a link with dots": [_link("out", "../../usr"), _file("out/escaped")],
}


@pytest.mark.parametrize("sources", ESCAPES.values(), ids=ESCAPES.keys())
def test_overlay_cannot_write_outside_of_itself(root: Path, sources: list[Source]) -> None:
    archive = io.BytesIO()
    cpio.write(sources, archive)  # in this order: the link first
    _add(root, 1, pack=lambda _: gzip.compress(archive.getvalue()))
    status, said = _stack(root, "echo booted")
    assert status == FAILED
    assert "error=NB-UNPACK" in said[-1]
    assert not list(root.rglob("escaped"))


def test_absolute_name_lands_inside(root: Path) -> None:
    _add(root, 1, _file("/etc/absolute", "inside"))
    assert _stack(root, "cat etc/absolute") == (0, ["inside"])
    assert not (root / "etc").exists()


_CHANGE = """
name_0=base.img sha256_0=0123 name_1=/discovery.overlay.cpio.gz sha256_1=
mkdir -p etc; echo new >etc/new; rm etc/base; mv etc/folder etc/moved
show_changes
cat $RUN/stack
stat -c %a $RUN/changes
cd $RUN/changes/upper
stat -c "%F %t:%T" etc/base
cat etc/moved/inside
touch etc/mine 2>&1
echo later >/newroot/etc/later
cat etc/later
"""


def test_what_the_system_changes_can_be_seen_and_not_be_changed_there(root: Path) -> None:
    _add(root, 1, _folder("etc"), _file("etc/one"))
    assert _stack(root, _CHANGE) == (
        0,
        [
            "0123 base.img",
            "- /discovery.overlay.cpio.gz",
            "700",
            "character special file 0:0",
            "etc/folder/inside",
            "touch: etc/mine: Read-only file system",
            "later",
        ],
    )

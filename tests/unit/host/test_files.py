"""Files appear whole or not at all, whoever reads or is killed meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.files import (
    copy_if_missing,
    locked,
    locked_at_once,
    publish,
    publish_text,
    remove_tree,
    size_of,
    sweep,
    workroom,
)

SIZE = 1 << 20
SIZE_OF_TEXT = 1 << 12


def test_reader_sees_the_old_file_or_the_new_one_and_nothing_between(tmp_path: Path) -> None:
    sources = [tmp_path / "a", tmp_path / "b"]
    for source in sources:
        source.write_bytes(source.name.encode() * SIZE)
    target = tmp_path / "builds" / "artifact"
    publish(sources[0], target)
    seen: set[tuple[int, bytes]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            content = target.read_bytes()
            seen.add((len(content), bytes(set(content))))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(8):
        publish(sources[number % 2], target)
    done.set()
    reader.join()
    assert seen == {(SIZE, b"a"), (SIZE, b"b")}


def test_published_file_replaces_the_name_not_the_content_that_others_hold(tmp_path: Path) -> None:
    publish_text("old", tmp_path / "file")
    with (tmp_path / "file").open() as held:
        publish_text("new", tmp_path / "file")
        assert held.read() == "old"
    assert (tmp_path / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_published_file_is_readable_by_a_web_server_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        publish_text("x", tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_publishing_makes_the_folder(tmp_path: Path) -> None:
    publish_text("x", tmp_path / "new/folder/file")
    assert (tmp_path / "new/folder/file").read_text() == "x"


def test_source_that_cannot_be_read_leaves_the_old_file(tmp_path: Path) -> None:
    publish_text("old", tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "absent", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"


def test_killed_publisher_leaves_the_whole_old_file_or_the_whole_new_one(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"n" * SIZE)
    script = "import sys; from pathlib import Path; from imagebuilder.host.files import publish\n"
    script += "while True: publish(Path(sys.argv[1]), Path(sys.argv[2]))"
    target = tmp_path / "builds" / "file"
    publish_text("old", target)
    for delay in (0.0, 0.01, 0.03):
        argv: list[str | Path] = [sys.executable, "-c", script, tmp_path / "source", target]
        with subprocess.Popen(argv) as publisher:
            while publisher.poll() is None and target.read_bytes() == b"old":
                pass
            time.sleep(delay)
            publisher.send_signal(signal.SIGKILL)
        assert target.read_bytes() == b"n" * SIZE
    sweep(target.parent)
    assert os.listdir(target.parent) == ["file"]


def test_publishing_asks_for_nothing_that_nfs_and_fuse_do_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def without_nameless_files(path: str | Path, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", without_nameless_files)
    with pytest.raises(OSError, match="not supported"):
        os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    publish_text("x", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


def test_many_can_publish_the_same_file_at_once(tmp_path: Path) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            publish_text(str(number) * SIZE_OF_TEXT, tmp_path / "file")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    content = (tmp_path / "file").read_text()
    assert (len(content), len(set(content))) == (SIZE_OF_TEXT, 1)
    assert os.listdir(tmp_path) == ["file"]


def test_failed_publishing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        publish_text("\ud800", tmp_path / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        publish_text("x", tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_copy_if_missing_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    copy_if_missing(tmp_path / "source", tmp_path / "file")
    (tmp_path / "source").write_text("newer")
    copy_if_missing(tmp_path / "source", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "new"


def test_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with locked(tmp_path / "deep/lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_shared_lock_needs_leave_to_read_only_and_keeps_others_out(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", shared=True), locked(tmp_path / "lock", shared=True, wait=False):
        with pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
            pass
        flags = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_read_only(fd)]
        assert flags.count(str(tmp_path / "lock")) == 2
    with locked(tmp_path / "lock", wait=False):
        pass


def _is_read_only(fd: str) -> bool:
    try:
        return fcntl.fcntl(int(fd), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except OSError:
        return False


def test_busy_lock_is_told_in_the_words_that_were_given_and_the_blocks_own_errors_pass(tmp_path: Path) -> None:
    busy = ImagebuilderError("somebody works here")
    with (
        locked(tmp_path / "lock", shared=True),
        pytest.raises(ImagebuilderError, match="somebody works here"),
        locked_at_once(tmp_path / "lock", busy),
    ):
        pass
    with pytest.raises(BlockingIOError), locked_at_once(tmp_path / "lock", busy):
        raise BlockingIOError


def test_room_is_gone_afterwards_and_with_it_what_killed_processes_left(tmp_path: Path) -> None:
    (tmp_path / "killed/deep").mkdir(parents=True)
    (tmp_path / "killed/lock").touch()
    (tmp_path / "killed before it could lock").mkdir()
    with workroom(tmp_path) as first:
        (first / "file").touch()
        with workroom(tmp_path) as second:
            assert {path.name for path in tmp_path.iterdir()} == {"lock", first.name, second.name}
            assert (first / "file").exists()
    assert os.listdir(tmp_path) == ["lock"]


def test_removed_tree_is_gone_and_what_its_links_name_is_not(tmp_path: Path) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "outside").write_text("x")
    (tmp_path / "tree/a/link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/-rf").touch()
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert os.listdir(tmp_path) == ["outside"]


def test_size_counts_each_file_once_and_links_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "tree/a").mkdir(parents=True)
    (tmp_path / "tree/a/one").write_bytes(b"x" * 1000)
    os.link(tmp_path / "tree/a/one", tmp_path / "tree/two")
    (tmp_path / "tree/link").symlink_to("a/one")
    (tmp_path / "tree/dangling").symlink_to("nowhere")
    (tmp_path / "tree/three").write_bytes(b"x" * 10)
    assert size_of(tmp_path / "tree") == 1010
    assert size_of(tmp_path / "tree/three") == 10

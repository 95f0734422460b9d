"""Files appear whole or not at all, whoever reads or is killed meanwhile."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imagebuilder.host.files import copy_if_missing, locked, publish, publish_text, remove_tree, size_of, sweep

SIZE = 1 << 20


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

"""Programs run in a clean environment; what they print arrives whole, how they end is told."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from imagebuilder.errors import CommandError, MissingToolError
from imagebuilder.host import command
from imagebuilder.host.command import CLEAN_ENVIRONMENT, Command, run

MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_PATIENCE", 0.05)


def _sh(script: str, **options: object) -> Command:
    return Command(("sh", "-c", script), **options)  # type: ignore[arg-type]


def test_output_is_whole_and_both_streams_are_in_the_tail() -> None:
    done = run(_sh("echo out; echo err >&2; printf last"))
    assert (done.status, done.stdout) == (0, "out\nlast")
    assert sorted(done.tail.splitlines()) == ["err", "last", "out"]


def test_lines_arrive_while_the_program_runs() -> None:
    seen: list[tuple[str, float]] = []
    began = time.monotonic()
    run(_sh("echo first; sleep 0.2; printf 'second\\r\\n'"), lambda line: seen.append((line, time.monotonic())))
    assert [line for line, _ in seen] == ["first", "second"]
    assert seen[0][1] - began < seen[1][1] - began - 0.15


@pytest.mark.parametrize("size", [0, 10, 65536, 5 * MEBIBYTE])
def test_input_of_any_size_passes_through(size: int) -> None:
    done = run(Command(("cat",), stdin=b"line of text\n" * (size // 13)))
    assert len(done.stdout) == size // 13 * 13


def test_input_need_not_be_read() -> None:
    assert run(Command(("true",), stdin=b"x" * MEBIBYTE)).status == 0


def test_program_without_input_reads_an_empty_one() -> None:
    assert run(Command(("cat",))).stdout == ""


def test_much_on_both_streams_blocks_nothing() -> None:
    done = run(_sh("seq 100000; seq 100000 >&2"))
    assert len(done.stdout.splitlines()) == 100_000
    assert len(done.tail.splitlines()) == 200


def test_characters_survive_wherever_the_stream_is_cut() -> None:
    seen: list[str] = []
    text = "ä€🐧" * 100
    run(Command(("cat",), stdin=f"{text}\n".encode() * 500), seen.append)
    assert set(seen) == {text}


def test_what_is_no_text_is_shown_all_the_same() -> None:
    assert run(_sh("printf 'a\\377b\\n'")).stdout == "a\ufffdb\n"


def test_environment_is_clean_and_takes_additions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("http_proxy", "http://nowhere")
    lines = run(Command(("env",), env={"SOURCE_DATE_EPOCH": "1", "HOME": "/here"})).stdout.splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert seen == {**CLEAN_ENVIRONMENT, "SOURCE_DATE_EPOCH": "1", "HOME": "/here"}


def test_working_folder_is_the_commands(tmp_path: Path) -> None:
    assert run(Command(("pwd",), cwd=tmp_path)).stdout == f"{tmp_path}\n"


@pytest.mark.parametrize(("script", "how"), [("exit 3", "exit status 3"), ("kill -9 $$", "signal 9")])
def test_failure_names_the_command_how_it_ended_and_what_it_said(script: str, how: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(_sh(f"echo before; {script}"))
    assert caught.value.message == f"`sh -c 'echo before; {script}'` failed ({how})"
    assert caught.value.detail == "before\n"


def test_expected_status_is_no_failure() -> None:
    assert run(_sh("exit 3", accept=frozenset({0, 3}))).status == 3


def test_program_in_a_root_is_shown_with_its_chroot() -> None:
    assert Command(("ls", "a b"), root=Path("/x")).full_argv == ("chroot", "/x", "ls", "a b")


def test_program_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingToolError, match="`no-such-program` is not installed") as caught:
        run(Command(("no-such-program",)))
    assert "doctor" in (caught.value.hint or "")


def test_program_that_takes_too_long_is_killed() -> None:
    began = time.monotonic()
    with pytest.raises(CommandError) as caught:
        run(_sh("echo before; sleep 60", timeout=0.3))
    assert time.monotonic() - began < 10
    assert caught.value.status == -signal.SIGKILL
    assert caught.value.detail == "before\nkilled after 0.3 s\n"


def test_background_program_does_not_hold_the_build() -> None:
    began = time.monotonic()
    done = run(_sh("sleep 30 & echo $!"))
    assert time.monotonic() - began < 10
    os.kill(int(done.stdout), signal.SIGKILL)


def test_program_ends_when_whoever_reads_it_fails() -> None:
    def fail(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt) as caught:
        run(_sh("echo $$; exec sleep 60"), fail)
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(caught.value)), 0)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run(Command((sys.executable, "-c", "pass"), stdin=b"x"))
        with pytest.raises(CommandError):
            run(_sh("sleep 60", timeout=0.1))
    assert len(os.listdir("/proc/self/fd")) == before

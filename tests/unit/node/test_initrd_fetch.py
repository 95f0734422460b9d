"""Fetching on a bad day: servers that fall silent, break off, lie about lengths or are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile import Hostile, Trouble, hostile
from initrd_shell import run_shell

CONTENT = bytes(range(256)) * 4000
SIZE = len(CONTENT)
HALF = SIZE // 2
DEAD = "http://127.0.0.1:9/file"


def _fetch(folder: Path, *urls: str, size: int = SIZE, limit: int = SIZE) -> tuple[int, str]:
    """Exit status and what was said; the reason and the number of retries come last."""
    script = f"""fetch {folder}/file {size} {limit} {" ".join(urls)}; status=$?
        [ "$status" = 0 ] || echo "$problem_code $problem"; echo "retries $retries"; exit $status"""
    result = run_shell(script, folder)
    assert result.stderr in ("", "Terminated\n")  # the shell tells that it ended a silent transfer
    return result.returncode, result.stdout


def _is_whole(folder: Path) -> bool:
    return (folder / "file").read_bytes() == CONTENT


WELL: dict[str, tuple[Trouble, int]] = {
    "nothing wrong": (Trouble(), 0),
    "breaks off once": (Trouble(times=1, sent=HALF), 1),
    "falls silent once": (Trouble(times=1, sent=HALF, silent=4), 1),
    "resets every 100 KB": (Trouble(sent=100_000), 10),
    "breaks off and ignores Range": (Trouble(times=1, sent=HALF, whole=True), 1),
    "gives no length and half of it": (Trouble(times=1, sent=HALF, length=""), 1),
    "says less than it has": (Trouble(times=1, length=str(HALF)), 1),
    "says more than it has": (Trouble(times=1, length=str(2 * SIZE)), 0),
    "503 once": (Trouble(times=1, status=503), 1),
    "500 three times": (Trouble(times=3, status=500), 3),
    "429 with Retry-After": (Trouble(times=1, status=429, headers={"Retry-After": "1"}), 1),
    "sends something longer once": (Trouble(times=1, body=lambda body: body + b"more"), 1),
    "redirects with 307": (Trouble(times=1, status=307, headers={"Location": "/file"}), 0),
}


@pytest.mark.parametrize(("trouble", "retries"), WELL.values(), ids=WELL.keys())
def test_file_arrives_whole_where_the_server(tmp_path: Path, trouble: Trouble, retries: int) -> None:
    with hostile({"/file": CONTENT}, {"/file": trouble}) as server:
        status, said = _fetch(tmp_path, f"{server.url}/file")
    assert (status, _is_whole(tmp_path)) == (0, True), said
    assert said.endswith(f"retries {retries}\n")


def test_file_arrives_over_ipv6(tmp_path: Path) -> None:
    with hostile({"/file": CONTENT}, {"/file": Trouble(times=1, sent=HALF)}, host="::1") as server:
        status, said = _fetch(tmp_path, f"{server.url}/file")
    assert (status, _is_whole(tmp_path)) == (0, True), said


def test_transfer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with hostile({"/file": CONTENT}, {"/file": Trouble(times=1, sent=HALF)}) as server:
        _fetch(tmp_path, f"{server.url}/file")
        assert server.starts == [("/file", 0), ("/file", HALF)]


def test_next_server_goes_on_where_one_fell_silent(tmp_path: Path) -> None:
    with (
        hostile({"/file": CONTENT}, {"/file": Trouble(sent=HALF, silent=4)}) as first,
        hostile({"/file": CONTENT}) as second,
    ):
        assert _fetch(tmp_path, DEAD, f"{first.url}/file", f"{second.url}/file")[0] == 0
        assert second.starts == [("/file", HALF)]
    assert _is_whole(tmp_path)


def _asked(server: Hostile) -> int:
    return server.asked["/file"]


ILL: dict[str, tuple[Trouble, str, int]] = {
    "404": (Trouble(status=404), "NB-NOT-FOUND", 1),
    "410": (Trouble(status=410), "NB-NOT-FOUND", 1),
    "403": (Trouble(status=403), "NB-FETCH", 1),
    "500": (Trouble(status=500), "NB-FETCH", 10),
    "redirects in a circle": (Trouble(status=302, headers={"Location": "/file"}), "NB-FETCH", 20),
    "half a file, always": (Trouble(body=lambda body: body[:HALF]), "NB-FETCH", 21),
    "too much, always": (Trouble(body=lambda body: body + b"more"), "NB-FETCH", 10),
}


@pytest.mark.parametrize(("trouble", "code", "asked"), ILL.values(), ids=ILL.keys())
def test_server_is_given_up_that_answers(tmp_path: Path, trouble: Trouble, code: str, asked: int) -> None:
    with hostile({"/file": CONTENT}, {"/file": trouble}) as server:
        status, said = _fetch(tmp_path, f"{server.url}/file")
        assert status == 1, said
        assert f"{code} {server.url}/file: " in said.splitlines()[-2]
        assert _asked(server) <= asked


def test_one_server_that_has_it_is_enough(tmp_path: Path) -> None:
    with hostile({}) as empty, hostile({"/file": CONTENT}) as full:
        assert _fetch(tmp_path, f"{empty.url}/file", DEAD, f"{full.url}/file")[0] == 0


def test_never_more_arrives_than_may(tmp_path: Path) -> None:
    with hostile({"/file": CONTENT}) as server:
        status, said = _fetch(tmp_path, f"{server.url}/file", size=0, limit=5000)
    assert status == 1
    assert "more than 5000 bytes" in said


def test_nobody_there_is_told_with_the_reason(tmp_path: Path) -> None:
    status, said = _fetch(tmp_path, DEAD)
    assert status == 1
    assert f"NB-FETCH {DEAD}: can't connect to remote host (127.0.0.1): Connection refused" in said.splitlines()[-2]


@pytest.mark.parametrize(
    ("trouble", "size"), [(Trouble(), SIZE), (Trouble(length=""), 0), (Trouble(status=500), 0)], ids=["", "none", "500"]
)
def test_length_is_asked_for_without_the_content(tmp_path: Path, trouble: Trouble, size: int) -> None:
    with hostile({"/file": CONTENT}, {"/file": trouble}) as server:
        result = run_shell(f'ask_size {server.url}/file; echo "$remote_size"', tmp_path)
    assert result.stdout == f"{size}\n"


def test_pauses_grow_to_a_bound_differ_and_honour_the_server(tmp_path: Path) -> None:
    script = """sleep() { echo "$1"; }
        retry_after=0; for round in 1 2 3 4 5 6 7 8 9; do pause_before_round $round; done
        retry_after=60; pause_before_round 1"""
    pauses = [float(line) for line in run_shell(script, tmp_path).stdout.splitlines()]
    bounds = [2, 4, 8, 16, 30, 30, 30, 30, 30, 62]
    assert all(low / 2 <= pause <= low for pause, low in zip(pauses[:9], bounds[:9], strict=True)), pauses
    assert 61 <= pauses[9] <= 62
    assert len(set(pauses[4:9])) > 1

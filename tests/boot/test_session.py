"""Boots that go wrong say where, why, and what to read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from boot.conftest import Site
from imagebuilder.boot import phases
from imagebuilder.boot.phases import PhaseReached
from imagebuilder.boot.session import Boot, Machine, boot, choose_accelerator
from imagebuilder.errors import BootError
from imagebuilder.events import Note
from imagebuilder.host import probe
from nodes import EMULATED, boot_verb

pytestmark = pytest.mark.boot


@pytest.fixture
def request_(site: Site, tmp_path: Path) -> Boot:
    return Boot(replace(site.artifacts, overlays=()), tmp_path / "console.log", EMULATED)


def _error(request: Boot, events: list[PhaseReached | Note] | None = None) -> BootError:
    with pytest.raises(BootError) as caught:
        boot(request, (events if events is not None else []).append)
    return caught.value


def test_a_node_that_cannot_boot_says_why(request_: Boot) -> None:
    error = _error(replace(request_, arguments="BASEFS=/nowhere.squashfs.img"))
    assert re.match(r"the node gave up in phase `memory`: NB-NOT-FOUND: .*nowhere", error.message)
    assert str(request_.log) in str(error.hint)
    assert "nb: error=NB-NOT-FOUND" in error.detail
    assert "nb: error=NB-NOT-FOUND" in request_.log.read_text()


def test_a_kernel_that_panics_says_so(request_: Boot) -> None:
    assert (
        "gave up in phase `kernel`: panic: " in _error(replace(request_, arguments="rdinit=/none root=/none")).message
    )


def test_a_start_that_hangs_before_init_is_tried_again_and_counted(
    request_: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(phases._PATIENCE, "kernel", 0.0)
    events: list[PhaseReached | Note] = []
    error = _error(request_, events)
    assert "the node hung in phase `kernel`" in error.message
    assert [event.message for event in events if isinstance(event, Note)] == [f"{error.message}; started again"] * 2


def test_a_node_that_hangs_later_is_not_tried_again(request_: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(phases._PATIENCE, "modules", 0.0)
    events: list[PhaseReached | Note] = []
    assert "the node hung in phase `modules`" in _error(request_, events).message
    assert not [event for event in events if isinstance(event, Note)]


def test_a_boot_has_an_end(request_: Boot) -> None:
    assert "in 3 s (--timeout)" in _error(replace(request_, timeout=3)).message


def test_what_qemu_refuses_is_passed_on(request_: Boot) -> None:
    machine = replace(EMULATED, accelerator="abacus")
    assert "QEMU does not start the guest: " in _error(replace(request_, machine=machine)).message


def test_without_kvm_a_guest_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(accelerator: str) -> None:
        raise BootError(accelerator)

    monkeypatch.setattr(probe, "guest", refuses)
    assert choose_accelerator(Machine()) == "tcg"
    monkeypatch.setattr(probe, "guest", lambda _: None)
    assert choose_accelerator(Machine()) == "kvm"


def test_the_verb_fails_with_the_last_lines_and_the_log(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    done = boot_verb("--builds", site.artifacts.folder, "--log", log, "--append", "BASEFS=/nowhere.squashfs.img")
    assert (done.returncode, done.stdout) == (1, "")
    assert "  | " in done.stderr
    assert "NB-NOT-FOUND" in done.stderr
    assert f"hint: the whole console is in `{log}`" in done.stderr


def test_the_shell_on_the_console_is_roots_and_can_be_left(site: Site, shell: tuple[int, bytes]) -> None:
    status, shown = shell
    assert status == 0
    assert b"42 root" in shown
    assert b"42 root" in (site.folder / "shell.log").read_bytes()

"""The probes of `doctor` try the real thing and leave nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from imagebuilder.errors import BootError
from imagebuilder.host import probe

pytestmark = pytest.mark.root


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the probes make theirs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_probe_succeeds_and_leaves_no_mount_or_folder(scratch: Path) -> None:
    probe.overlay()
    assert str(scratch) not in Path("/proc/self/mountinfo").read_text()
    assert list(scratch.iterdir()) == []


def test_probe_that_fails_says_what_the_machine_said(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_SCRIPT", Path("/no/such/script"))
    with pytest.raises(BootError, match="/no/such/script"):
        probe.overlay()
    assert list(scratch.iterdir()) == []

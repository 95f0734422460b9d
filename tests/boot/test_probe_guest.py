"""The probe that chooses between KVM and emulation: only a guest that ran counts."""

from __future__ import annotations

import pytest

from imagebuilder.errors import BootError
from imagebuilder.host import probe

pytestmark = pytest.mark.boot


def test_emulated_guest_runs_its_first_instructions() -> None:
    probe.guest("tcg")


def test_guest_that_hangs_is_no_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = bytearray(probe._BOOT_SECTOR)
    hanging[0:2] = b"\xeb\xfe"  # jmp $
    monkeypatch.setattr(probe, "_BOOT_SECTOR", bytes(hanging))
    monkeypatch.setattr(probe, "_GUEST_SECONDS", 2)
    with pytest.raises(BootError, match="did not start within 2 s"):
        probe.guest("tcg")


def test_accelerator_that_does_not_exist_is_reported_with_what_qemu_says() -> None:
    with pytest.raises(BootError, match="invalid accelerator"):
        probe.guest("abacus")

"""An image that does not fit is refused before anything is fetched, with numbers."""

from __future__ import annotations

from pathlib import Path

from initrd_shell import FAILED, run_shell


def test_small_image_fits(tmp_path: Path) -> None:
    result = run_shell("layer_count=2 size_0=40000000 size_1=2000000; check_memory", tmp_path)
    assert result.returncode == 0
    assert "needs 146 MB of RAM (base 40, overlays 10, system 96); " in result.stdout


def test_image_without_overlays_and_lengths_is_let_through(tmp_path: Path) -> None:
    assert run_shell("layer_count=1 size_0=0; check_memory", tmp_path).returncode == 0


def test_image_that_is_larger_than_this_machine_is_refused(tmp_path: Path) -> None:
    result = run_shell("layer_count=2 size_0=1000000000 size_1=9000000000000; check_memory", tmp_path)
    assert result.returncode == FAILED
    assert "error=NB-MEMORY detail=the image needs 45001096 MB of RAM (base 1000, " in result.stdout

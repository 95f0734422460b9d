"""An image that does not fit is refused before anything is fetched, with numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from initrd_shell import FAILED, run_shell

# A node of 1,000 MB, 750 of which /layers may hold; a base of 40 MB and an overlay of 2.
_NODE = """
read_memory() { total=1000000000 available=${left:-990000000}; }
start_zram() { echo "zram $1"; }
layer_count=2 size_0=40000000 size_1=2000000
"""
FITS = {
    "": "needs 146 MB of RAM (base 40, overlays 10, system 96); 750 of 1000 MB can be had",
    "unpacked_1=5000000": "needs 143 MB of RAM (base 40, overlays 7, system 96)",
    "unpacked_1=0": "needs 138 MB of RAM (base 40, overlays 2, system 96)",
    "left=146000000": "; 146 of 1000 MB can be had",
    "size_0=654000000 layer_count=1": "needs 750 MB",
    "size_0=0 layer_count=1": "needs 96 MB",
    "overlay_size=200000000": "needs 346 MB of RAM (base 40, overlays 10, files 200, system 96)",
    "overlay_size=50%": "files 500,",
    "overlay_size=500m": "files 525,",
    "zram_size=50%": "zram 500000000\nnb: phase=memory ms=0 detail=needs 141 MB of RAM "
    "(base 40, overlays 10, system 96, less 5 by zram); 750 of",
    # 610 MB of files, of which zram takes 400 in the place of 200.
    "overlay_size=60% zram_size=400000000": "needs 546 MB of RAM (base 40, overlays 10, files 600, system 96, less 200",
}
DOES_NOT = {
    "left=145000000": "the image needs 146 MB of RAM (base 40, overlays 10, system 96); 145 of 1000 MB can be had",
    "size_0=655000000 layer_count=1": "the image needs 751 MB of RAM",
    "size_1=9000000000000": "the image needs 45000136 MB of RAM",
    "overlay_size=61%": "the image needs 756 MB of RAM (base 40, overlays 10, files 610, system 96)",
    "size_0=700000000 layer_count=1 zram_size=100%": "less 0 by zram)",
}
SIZES = {"": 0, "1": 1, "4096": 4096, "2k": 2048, "512m": 512 << 20, "3G": 3 << 30, "50%": 500_000_000}


@pytest.mark.parametrize("node", FITS)
def test_image_that_fits_is_let_through_with_numbers(tmp_path: Path, node: str) -> None:
    result = run_shell(f"uptime_ms() {{ echo 0; }}\n{_NODE}\n{node}\ncheck_memory", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert FITS[node] in result.stdout


@pytest.mark.parametrize("node", DOES_NOT)
def test_image_that_does_not_fit_is_refused_with_numbers(tmp_path: Path, node: str) -> None:
    result = run_shell(f"{_NODE}\n{node}\ncheck_memory", tmp_path)
    assert result.returncode == FAILED
    assert "error=NB-MEMORY detail=" in result.stdout
    assert DOES_NOT[node] in result.stdout


def test_memory_is_that_of_the_machine(tmp_path: Path) -> None:
    found = run_shell('read_memory; echo "$total $available"', tmp_path).stdout.split()
    expected = {line.split()[0]: int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()}
    assert int(found[0]) == expected["MemTotal:"] * 1024
    assert 0 < int(found[1]) < int(found[0])


@pytest.mark.parametrize("size", SIZES)
def test_size_is_a_number_or_a_share_of_ram(tmp_path: Path, size: str) -> None:
    assert run_shell(f"total=1000000000; bytes_of '{size}'", tmp_path).stdout == f"{SIZES[size]}\n"


@pytest.mark.parametrize("argument", ["overlay_size", "nb.zram"])
@pytest.mark.parametrize(
    "size", ["0", "010", "m", "%", "-1", "1.5g", "2t", "50%%", "1000%", "1 m", "$(reboot)", 20 * "9"]
)
def test_what_is_no_size_is_refused(tmp_path: Path, argument: str, size: str) -> None:
    result = run_shell(f"""parse_arguments '"{argument}={size}"'""", tmp_path)
    assert result.returncode == FAILED
    assert f"error=NB-ARGUMENT detail=`{argument}={size}` is no size; 512m, 2g and 50% are some" in result.stdout

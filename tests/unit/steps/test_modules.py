"""Which modules an initrd gets: what a profile says, what that depends on, the firmware that it asks for."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from elf_files import kernel_module
from imagebuilder.errors import UserError
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps import modules
from imagebuilder.steps.kernel import MODULES
from imagebuilder.steps.modules import Modules
from machine import PlainMachine
from mirror import make_package

RELEASE = "6.1.0-1-amd64"
INFO = {
    "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko": ("depends=ptp", "firmware=unused"),
    "kernel/drivers/net/ethernet/broadcom/bnx2.ko": ("depends=", "firmware=bnx2/a.fw", "firmware=bnx2/b*.fw"),
    "kernel/drivers/net/ethernet/realtek/r8169.ko": ("depends=libphy", "softdep=pre: realtek crypto-crc32c"),
    "kernel/drivers/net/phy/libphy.ko": ("depends=",),
    "kernel/drivers/net/phy/realtek.ko": ("depends=libphy", "softdep=post: r8169"),
    "kernel/drivers/ptp/ptp.ko": ("depends=pps_core",),
    "kernel/drivers/pps/pps_core.ko": ("depends=",),
    "kernel/fs/nls/nls_iso8859-1.ko": ("depends=",),
}


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = tmp_path / "kernel"
    for name, info in INFO.items():
        path = folder / MODULES / RELEASE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kernel_module(*info))
    for name in ("modules.builtin.modinfo", "modules.order"):
        (folder / MODULES / RELEASE / name).touch()
    (folder / MODULES / RELEASE / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    return folder


def _made(
    kernel: Path, *lines: str, extra: tuple[str, ...] = (), firmware: tuple[Deb, ...] = ()
) -> tuple[set[str], list[str]]:
    """The names of the files that the step makes (modules without their folders), and its notes."""
    output = kernel.parent / "output"
    output.mkdir()
    machine = PlainMachine(kernel.parent)
    Modules(RELEASE, lines, extra, firmware).run(machine, {"kernel": (kernel,)}, output)
    files = {path for path in output.rglob("*") if path.is_file()}
    names = {path.stem if path.suffix == ".ko" else str(path.relative_to(output)) for path in files}
    kept = {f"{MODULES}/{RELEASE}/modules.{end}" for end in ("builtin", "builtin.modinfo", "order")}
    assert kept <= names
    return names - kept, machine.notes


def test_dependencies_of_dependencies_come_along(kernel: Path) -> None:
    assert _made(kernel, "e1000e") == ({"e1000e", "ptp", "pps_core"}, [])


def test_soft_dependencies_come_along_round_in_circles_and_to_nowhere(kernel: Path) -> None:
    assert _made(kernel, "r8169")[0] == {"r8169", "libphy", "realtek"}


def test_beginning_of_a_path_means_all_below_it_and_a_later_minus_takes_away(kernel: Path) -> None:
    lines = ("drivers/net/ethernet/", "-drivers/net/ethernet/realtek/", "-bnx2")
    assert _made(kernel, *lines)[0] == {"e1000e", "ptp", "pps_core"}


def test_what_was_taken_away_comes_back_when_something_needs_it(kernel: Path) -> None:
    assert _made(kernel, "drivers/", "-drivers/p", "-drivers/net/phy/", "-bnx2", "-r8169")[0] == {
        "e1000e",
        "ptp",
        "pps_core",
    }


def test_dashes_and_underscores_are_one(kernel: Path) -> None:
    assert _made(kernel, "nls-iso8859-1", "pps-core")[0] == {"nls_iso8859-1", "pps_core"}


def test_profile_may_name_what_this_kernel_lacks_and_the_user_may_not(kernel: Path) -> None:
    files = modules.module_files(kernel / MODULES / RELEASE)
    assert modules.select(files, ["mlx5_core", "bnx2"]) == {"bnx2"}
    with pytest.raises(UserError, match="the kernel has no module `e1000x`") as caught:
        _made(kernel, extra=("e1000x",))
    assert caught.value.hint == "`modules:` of the initrd; did you mean `e1000e`?"


def test_user_may_ask_for_what_is_built_in(kernel: Path) -> None:
    assert _made(kernel, extra=("ext4", "bnx2"))[0] == {"bnx2"}


@pytest.mark.parametrize(("suffix", "compress"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_compressed_modules_are_put_in_as_plain_ones(
    kernel: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    for path in (kernel / MODULES).rglob("*.ko"):
        path.with_name(path.name + suffix).write_bytes(compress(path.read_bytes()))
        path.unlink()
    assert _made(kernel, "e1000e")[0] == {"e1000e", "ptp", "pps_core"}
    made = kernel.parent / "output" / MODULES / RELEASE / "kernel/drivers/ptp/ptp.ko"
    assert made.read_bytes() == kernel_module("depends=pps_core")


def test_modules_come_in_an_order_in_which_they_can_be_loaded(kernel: Path) -> None:
    folder = kernel / MODULES / RELEASE
    order = [Path(path).stem for path in modules.closure(["e1000e"], modules.module_files(folder), folder)]
    assert order == ["pps_core", "ptp", "e1000e"]


@pytest.fixture
def firmware(tmp_path: Path) -> tuple[Deb, ...]:
    """One package as bookworm packs them, one as trixie does."""
    (tmp_path / "archives").mkdir()
    files = {
        "firmware-a": {"lib/firmware/bnx2/a.fw": b"a"},
        "firmware-b": {"usr/lib/firmware/bnx2/b-1.fw.zst": b"b", "usr/lib/firmware/other": b"x"},
    }
    for name, content in files.items():
        package = make_package(tmp_path, name, "1", files=content)
        package.file.rename(tmp_path / "archives" / f"{name}_1_all.deb")
    return tuple(Deb(name, "1", "all", 0, "") for name in files)


def test_firmware_that_modules_ask_for_is_put_in_and_no_other(kernel: Path, firmware: tuple[Deb, ...]) -> None:
    made, notes = _made(kernel, "bnx2", firmware=firmware)
    assert made == {"bnx2", f"{modules.FIRMWARE}/bnx2/a.fw", f"{modules.FIRMWARE}/bnx2/b-1.fw.zst"}
    assert notes == []


def test_firmware_that_is_nowhere_is_told_with_who_asks_for_it(kernel: Path, firmware: tuple[Deb, ...]) -> None:
    assert _made(kernel, "e1000e", firmware=firmware)[1] == ["firmware that no package has: unused (e1000e)"]


def test_profile_leaves_firmware_out(kernel: Path, firmware: tuple[Deb, ...]) -> None:
    made, notes = _made(kernel, "bnx2", "e1000e", "-firmware/bnx2/b*", "-firmware/unused", firmware=firmware)
    assert (f"{modules.FIRMWARE}/bnx2/a.fw" in made, f"{modules.FIRMWARE}/bnx2/b-1.fw.zst" in made) == (True, False)
    assert notes == []


def test_without_packages_firmware_is_neither_put_in_nor_missed(kernel: Path) -> None:
    assert _made(kernel, "bnx2") == ({"bnx2"}, [])


def test_metal_holds_all_of_virt() -> None:
    assert set(modules.profile("virt")) < set(modules.profile("metal"))
    assert {"overlay", "virtio_net"} <= set(modules.profile("virt"))

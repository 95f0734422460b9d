"""Secure Boot: firmware starts a unified kernel image that an enrolled key signed, and no other.

The firmware is OVMF with the keys that Debian enrolled for tests; of these the private half is known.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from certificates import make_certificates
from imagebuilder.boot.uki import SigningPair, write_uki

pytestmark = pytest.mark.boot

_ENROLLED = Path("/usr/share/ovmf/PkKek-1-snakeoil.key")
_ARGUMENTS = "console=ttyS0,115200n8 loglevel=6 nb.onfail=poweroff BASEFS=/x API_CB=10.0.2.2:1"
_SECONDS = 200


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> SigningPair:
    key = tmp_path_factory.mktemp("enrolled") / "db.key"
    argv = ["openssl", "rsa", "-in", str(_ENROLLED), "-passin", "pass:snakeoil", "-out", str(key)]
    subprocess.run(argv, check=True, capture_output=True)
    return SigningPair(key, _ENROLLED.with_suffix(".pem"))


@pytest.fixture(scope="module")
def consoles(built_images: Path, enrolled: SigningPair, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came over the serial port, by whose key the image was signed with; both start side by side."""
    (initrd,) = built_images.glob("initrd.img-*-cloud-amd64")
    kernel = built_images / initrd.name.replace("initrd.img", "vmlinuz")
    foreign = make_certificates(tmp_path_factory.mktemp("foreign") / "pair")

    def start(pair: SigningPair) -> str:
        folder = tmp_path_factory.mktemp("machine")
        program = folder / "esp/EFI/BOOT/BOOTX64.EFI"
        program.parent.mkdir(parents=True)
        write_uki(kernel, initrd, _ARGUMENTS, pair, program)
        return _console(folder)

    pairs = {"enrolled": enrolled, "foreign": SigningPair(foreign / "server.key", foreign / "server.crt")}
    with ThreadPoolExecutor() as pool:
        return dict(zip(pairs, pool.map(start, pairs.values()), strict=True))


def _console(folder: Path) -> str:
    """Start a machine until its firmware or our /init has said how it went."""
    variables = shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd", folder / "variables.fd")
    flash = "if=pflash,format=raw,unit"
    argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "q35,smm=on,hpet=off,graphics=off"]
    argv += ["-accel", "tcg", "-cpu", "max,-erms,-fsrm,-la57", "-m", "512", "-nodefaults", "-no-reboot"]
    argv += ["-display", "none", "-serial", f"file:{folder}/console"]
    argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    argv += ["-drive", f"{flash}=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"]
    argv += ["-drive", f"{flash}=1,file={variables}", "-drive", f"if=virtio,format=raw,file=fat:rw:{folder}/esp"]
    with subprocess.Popen(argv) as machine:
        end = time.monotonic() + _SECONDS
        said = ""
        while not re.search("phase=modules|Access Denied|error=", said) and time.monotonic() < end:
            time.sleep(0.5)
            said = (folder / "console").read_text(errors="replace") if (folder / "console").exists() else ""
        machine.kill()
    return said


def test_image_signed_with_an_enrolled_key_boots_with_all_its_modules(consoles: dict[str, str]) -> None:
    said = consoles["enrolled"]
    assert "Kernel is locked down from EFI Secure Boot" in said, said[-2000:]
    assert "nb: phase=modules" in said, said[-2000:]
    assert f"Kernel command line: {_ARGUMENTS}" in said


def test_image_signed_with_another_key_is_refused_by_the_firmware(consoles: dict[str, str]) -> None:
    said = consoles["foreign"]
    assert "Access Denied" in said, said[-2000:]
    assert "nb: " not in said

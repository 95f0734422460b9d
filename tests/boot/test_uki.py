"""Secure Boot: firmware starts a unified kernel image that an enrolled key signed, and no other.

The firmware is OVMF, and the keys enrolled in it are the test's own, as a site does it: no distribution's and nobody
else's is in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagebuilder.boot.uki import SigningPair, write_uki

pytestmark = pytest.mark.boot

_FIRMWARE = Path("/usr/share/OVMF")
_OWNER = "6f776e65-7220-6f66-2074-686573652121"  # a GUID, of whom is not important
_ARGUMENTS = "console=ttyS0,115200n8 loglevel=6 nb.onfail=poweroff BASEFS=/x API_CB=10.0.2.2:1"
_SECONDS = 200


@pytest.fixture(scope="module")
def consoles(built_images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came over the serial port, by whose key the image was signed with; both start side by side."""
    (initrd,) = built_images.glob("initrd.img-*-cloud-amd64")
    kernel = built_images / initrd.name.replace("initrd.img", "vmlinuz")
    keys = tmp_path_factory.mktemp("keys")
    platform, enrolled, foreign = (_make_pair(keys, name) for name in ("platform", "enrolled", "foreign"))
    _enroll(platform, enrolled, keys / "variables.fd")

    def start(pair: SigningPair) -> str:
        folder = tmp_path_factory.mktemp("machine")
        program = folder / "esp/EFI/BOOT/BOOTX64.EFI"
        program.parent.mkdir(parents=True)
        write_uki(kernel, initrd, _ARGUMENTS, pair, program)
        shutil.copy(keys / "variables.fd", folder)
        return _console(folder)

    with ThreadPoolExecutor() as pool:
        return dict(zip(("enrolled", "foreign"), pool.map(start, (enrolled, foreign)), strict=True))


def _make_pair(folder: Path, name: str) -> SigningPair:
    pair = SigningPair(folder / f"{name}.key", folder / f"{name}.pem")
    # RSA: firmware of these years takes nothing else.
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*argv, "-keyout", pair.key, "-out", pair.certificate], check=True, capture_output=True)
    return pair


def _enroll(platform: SigningPair, enrolled: SigningPair, variables: Path) -> None:
    """Make the variables of a firmware in which these keys are, and no others, and Secure Boot is on."""
    program, template = Path(sys.executable).with_name("virt-fw-vars"), _FIRMWARE / "OVMF_VARS_4M.fd"
    argv = [str(program), "--secure-boot", "--input", str(template), "--output", str(variables)]
    for option, pair in {"--set-pk": platform, "--add-kek": platform, "--add-db": enrolled}.items():
        argv += [option, _OWNER, str(pair.certificate)]
    subprocess.run(argv, check=True, capture_output=True)


def _console(folder: Path) -> str:
    """Start a machine until its firmware or our /init has said how it went."""
    flash = "if=pflash,format=raw,unit"
    argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "q35,smm=on,hpet=off,graphics=off"]
    argv += ["-accel", "tcg", "-cpu", "max,-erms,-fsrm,-la57", "-m", "512", "-nodefaults", "-no-reboot"]
    argv += ["-display", "none", "-serial", f"file:{folder}/console"]
    argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    argv += ["-drive", f"{flash}=0,readonly=on,file={_FIRMWARE}/OVMF_CODE_4M.secboot.fd"]
    argv += ["-drive", f"{flash}=1,file={folder}/variables.fd"]
    argv += ["-drive", f"if=virtio,format=raw,file=fat:rw:{folder}/esp"]
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

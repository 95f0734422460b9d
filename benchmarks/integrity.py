"""What all checks together add to a boot in QEMU without KVM, and to the initrd.

Two initrds boot the same signed base and discovery overlay in turn: the one that was built, and the same with the
checks of signature, digests and special files left out. Compared is the time from the kernel's start to the mounted
root.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import CHECKOUT, IMAGEBUILDER, TREE, Row, build, report

_RUNS = 5
_MB = 1e6
_PARTS = CHECKOUT / "src/imagebuilder/node/initrd/usr/lib/imagebuilder"
_LEFT_OUT = {
    "trust.sh": ("is_signed_mode() {", "is_signed_mode() {\n    return 1"),
    "manifest.sh": ("check_digest() { # NAME FILE SHA256", "check_digest() {\n    phase digest none\n    return 0"),
    "layers.sh": ("refuse_unlisted() { # NUMBER FOLDER TEST...", "refuse_unlisted() {\n    return 0"),
}
_PLAYBOOK = """\
- import_playbook: common/initrd_wrapper.yml
  vars: {config_file: vars/initrd_virt.yml}
- import_playbook: common/basefs_wrapper.yml
  vars: {config_file: vars/base.yml}
- import_playbook: common/overlay_wrapper.yml
  vars: {config_file: vars/discovery.yml}
"""


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        signed, plain, key = (Path(folder, name) for name in ("signed", "plain", "site"))
        subprocess.run((*IMAGEBUILDER, "keygen", str(key)), check=True, capture_output=True)
        playbook = TREE / ".integrity.yml"
        playbook.write_text(_PLAYBOOK)
        over_https = TREE / "vars/.initrd_https.yml"
        over_https.write_text((TREE / "vars/initrd_virt.yml").read_text() + "  tls: true\n")
        Path(folder, "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        try:
            build(signed, "--sign", f"{key}.key", str(playbook))
            initrd = ("--sign", f"{key}.key", "--kind", "initrd", "--config-file")
            build(Path(folder, "https"), *initrd, "vars/.initrd_https.yml", "-e", f'{{"tls_ca": ["{folder}/ca.pem"]}}')
            build(Path(folder, "metal"), *initrd, "vars/initrd.yml")
        finally:
            playbook.unlink()
            over_https.unlink()
        shutil.copytree(signed, plain)
        _leave_out(next(plain.glob("initrd.img-*")), Path(folder, "parts"))
        times: dict[Path, list[float]] = {signed: [], plain: []}
        for _ in range(_RUNS):
            for images, seconds in times.items():
                seconds.append(_to_mount(images))
        with_checks, without = (statistics.median(seconds) for seconds in times.values())
        layers = sum(path.stat().st_size for path in (*signed.glob("base.*.img"), *signed.glob("discovery.overlay.*")))
        sizes = (next(Path(folder, n).glob("initrd.img-*")).stat().st_size / _MB for n in ("signed", "metal", "https"))
        virt, metal, https = sizes
        rows = [
            Row("kernel start to mounted root, with all checks", with_checks, "s"),
            Row("the same without any", without, "s"),
            Row("added for 50 MB of layers", (with_checks - without) * 50 * _MB / layers, "s", 1.5),
            Row("added, share of the way to the mounted root", 100 * (1 - without / with_checks), "%"),
            Row("initrd with signatures, virt", virt, "MB", 5),
            Row("initrd with signatures, metal", metal, "MB", 15),
            Row("HTTPS adds to the initrd, virt", https - virt, "MB", 5),
        ]
    report("integrity", rows)


def _leave_out(initrd: Path, folder: Path) -> None:
    """Lay parts without checks over those of an initrd: the kernel unpacks one archive after the other."""
    place = folder / "usr/lib/imagebuilder"
    place.mkdir(parents=True)
    for name, (old, new) in _LEFT_OUT.items():
        text = (_PARTS / name).read_text()
        if old not in text:
            sys.exit(f"{name} has no `{old}`")
        (place / name).write_text(text.replace(old, new))
    archive = subprocess.run(
        ("sh", "-c", "find . | cpio --quiet -o -H newc"), cwd=folder, check=True, capture_output=True
    ).stdout
    whole = initrd.read_bytes()
    initrd.unlink()  # it may be the store's own file
    initrd.write_bytes(whole + bytes(-len(whole) % 4) + archive)


def _to_mount(images: Path) -> float:
    options = ("--overlay", "discovery", "--memory", "512", "--accel", "tcg", "--json")
    command = (*IMAGEBUILDER, "boot", "--builds", str(images), *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    phases = {phase["name"]: phase["seconds"] for phase in json.loads(done.stdout)["phases"]}
    return float(phases["mount"] - phases["kernel"])


if __name__ == "__main__":
    main()

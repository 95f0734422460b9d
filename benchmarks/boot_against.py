"""From the kernel's start to the agent's first question: our initrd, live-boot's and dracut's, in QEMU without KVM.

All three boot the same base, byte by byte, with the same kernel on the same machine (512 MB, one processor, a
virtio card), and the agent in it asks the same server. The others are Debian's packages in roots of
their own, which go away. Of their settings the fastest that we found:

- live-boot: `fetch=`, an initrd of initramfs-tools with `MODULES=list` and zstd; no persistence, no search for media.
- dracut: `root=live:http://`, an initrd with nothing but livenet and what it needs (no systemd, no plymouth), zstd;
  DHCP by dhclient; overlayfs over the squashfs.

Neither checks what it fetched; ours checks the sha256. They bring no modules into the booted system, which is to
their advantage. Phases are seen from outside, in the kernel's log (`/init`, systemd) and at the server.
"""

from __future__ import annotations

import queue
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import TREE, Row, build, report

from imagebuilder.boot import peer
from imagebuilder.boot.session import MAC
from imagebuilder.host import qemu

_RUNS = 3
_PATIENCE = 300
_COMMON = f"BOOTIF=01-{MAC.replace(':', '-')} console=ttyS0,115200n8 loglevel=6"
_STAMP = re.compile(r"^\[ *(\d+\.\d{6})\] (.*)", re.MULTILINE)
_PLAYBOOK = """\
- import_playbook: common/initrd_wrapper.yml
  vars: {config_file: vars/initrd_virt.yml}
- import_playbook: common/basefs_wrapper.yml
  vars: {config_file: vars/base.yml}
"""


@dataclass(frozen=True, slots=True)
class Other:
    """How others boot: Debian packages, what is run in a root with them to make /initrd, kernel arguments."""

    packages: str
    make: str
    arguments: str


_OTHERS = {
    "live-boot": Other(
        packages="live-boot,live-boot-initramfs-tools,zstd,wget",
        make="""
            printf 'MODULES=list\\nCOMPRESS=zstd\\n' >/etc/initramfs-tools/conf.d/small
            printf 'virtio_pci\\nvirtio_net\\noverlay\\n' >/etc/initramfs-tools/modules
            mkinitramfs -o /initrd "$1"
        """,
        arguments="boot=live fetch=http://{server}/base.squashfs ip=dhcp nopersistence noeject",
    ),
    "dracut": Other(
        packages="dracut-network,dracut-live,zstd,curl,isc-dhcp-client,iputils-arping,procps",
        make="""
            dracut --force --no-hostonly --compress zstd --omit ifcfg \\
                --modules "base dash bash udev-rules rootfs-block fs-lib img-lib url-lib network network-legacy dm \\
                    dmsquash-live livenet" \\
                --add-drivers "virtio_pci virtio_net loop squashfs overlay" /initrd "$1"
        """,
        arguments="root=live:http://{server}/base.squashfs rd.live.overlay.overlayfs=1 ip=dhcp rd.neednet=1",
    ),
}
_OURS = "BASEFS=/base.squashfs"
_PHASES = ("kernel", "network", "fetch", "mount", "userspace")


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        release = _prepare(folder)
        boots: dict[str, list[dict[str, float]]] = {"ours": [], **{name: [] for name in _OTHERS}}
        for _ in range(_RUNS):
            for who, times in boots.items():
                arguments = _OTHERS[who].arguments if who in _OTHERS else _OURS
                times.append(_boot(folder, who, arguments))
    rows, ready = [], {}
    for who, times in boots.items():
        for phase in _PHASES:
            rows.append(Row(f"{who}: {phase}", statistics.median(boot[phase] for boot in times), "s"))
        ready[who] = statistics.median(sum(boot.values()) for boot in times)
        rows.append(Row(f"{who}: kernel start to agent ready", ready[who], "s"))
    rows += [Row(f"ours, share of {who}", 100 * ready["ours"] / ready[who], "%", 100) for who in _OTHERS]
    print(f"kernel {release}")
    report("boot_against", rows)


def _prepare(folder: Path) -> str:
    """Lay `vmlinuz`, `base.squashfs` and the initrds `ours`, `live-boot`, `dracut` into a folder; the kernel's name."""
    playbook = TREE / ".against.yml"
    playbook.write_text(_PLAYBOOK)
    try:
        build(folder / "built", str(playbook))
    finally:
        playbook.unlink()
    (kernel,) = (folder / "built").glob("vmlinuz-*")
    release = kernel.name.removeprefix("vmlinuz-")
    shutil.copy(kernel, folder / "vmlinuz")
    shutil.copy(folder / f"built/initrd.img-{release}", folder / "ours")
    shutil.copy(next((folder / "built").glob("base.*")), folder / "base.squashfs")
    for who, other in _OTHERS.items():
        script = folder / f"make-{who}"
        script.write_text(f"set -e\n{other.make}")
        argv = ["mmdebstrap", "--variant=minbase", "--format=null", f"--include=linux-image-{release},{other.packages}"]
        argv += ['--aptopt=APT::Install-Recommends "false"', f"--customize-hook=upload {script} /make"]
        argv += [f'--customize-hook=chroot "$1" sh /make {release}']
        argv += [f"--customize-hook=download /initrd {folder}/{who}", "bookworm"]
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            sys.exit(done.stderr)
    return release


def _boot(folder: Path, who: str, arguments: str) -> dict[str, float]:
    """Seconds of each phase of one boot."""
    heard: queue.SimpleQueue[tuple[float, peer.PeerEvent]] = queue.SimpleQueue()
    content = peer.Content(folder, macs=frozenset({MAC}), tasks=({"cmd": "dmesg"},))
    with peer.serve(lambda _: content, lambda event: heard.put((time.monotonic(), event))) as port:
        server = f"{qemu.HOST_ADDRESS}:{port}"
        command_line = f"API_CB={server} {arguments.format(server=server)} {_COMMON}"
        start = qemu.DirectKernel(folder / "vmlinuz", folder / who, command_line)
        guest = qemu.Guest(start, (qemu.Nic(MAC),), folder / f"{who}.log", memory_mb=512)
        with qemu.running(guest) as running:
            began, end = float("inf"), time.monotonic() + _PATIENCE
            seen: list[tuple[float, peer.PeerEvent]] = []
            while not seen or not isinstance(seen[-1][1], peer.ResultPosted):
                text = (running.read(0.1) or b"").decode(errors="replace")
                now = time.monotonic()
                if now > end:
                    sys.exit(f"{who} does not boot:\n{Path(guest.serial_log).read_text(errors='replace')[-4000:]}")
                # What the kernel prints carries its clock.
                began = min([began, *(now - float(stamp) for stamp, _ in _STAMP.findall(text))])
                while not heard.empty():
                    seen.append(heard.get())
    return _phases(seen, began)


def _phases(seen: list[tuple[float, peer.PeerEvent]], began: float) -> dict[str, float]:
    """The phases of a boot from what the server saw; the last of it is the node's kernel log."""
    result = seen[-1][1]
    assert isinstance(result, peer.ResultPosted)
    lines = _STAMP.findall(result.tasks[0]["stdout"])

    def logged(words: str) -> float:
        return next(float(stamp) for stamp, text in lines if words in text)

    def at_server(kind: type[peer.PeerEvent]) -> list[float]:
        return [moment - began for moment, event in seen if isinstance(event, kind)]

    ends = {
        "kernel": logged("Run /init as init process"),
        "network": at_server(peer.FileAsked)[0],
        "fetch": at_server(peer.FileSent)[-1],
        "mount": logged("running in system mode"),
        "userspace": at_server(peer.AgentSeen)[0],
    }
    starts = [0.0, *ends.values()]
    return {phase: end - start for (phase, end), start in zip(ends.items(), starts, strict=False)}


if __name__ == "__main__":
    main()

"""The whole of /init in a mount namespace: what it fetches, checks and stacks is real, the machine is not.

Left out are kernel modules, the network card and the last step into the booted system. A second is a
twentieth of one, so that pauses and patience can be waited for.
"""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.digest import of_bytes
from imagebuilder.steps import cpio, libraries
from imagebuilder.steps.cpio import Member, Source
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, OVERLAYS, Layer, Manifest
from imagebuilder.store.signing import SecretKey
from initrd_shell import PARTS, applets

NODE = PARTS.parents[2]
KEY = SecretKey(bytes(8), bytes(range(32)))
NEXT_KEY = SecretKey(bytes(range(8)), bytes(range(1, 33)))
FOREIGN_KEY = SecretKey(bytes(8), bytes(range(2, 34)))
SINCE = 1_700_000_000
BASE_NAME, OVERLAY_NAME = "base.squashfs.img", "discovery.overlay.cpio.gz"
FAILED = 99

# The real /init, but for its last line, which starts it, and for what only a real node has.
_INIT = """\
sed '$d' /init.real >/run/init
. /run/init
log() { echo "nb: $2"; }
sleep() { usleep $((${1%%.*} * 50000 + 10000)); }
uptime_ms() { echo 1; }
mount_kernel_filesystems() { mkdir "$RUN"; }
modprobe() { ! grep -q "no_$1" /proc/cmdline; }
mkswap() { :; }
swapon() { :; }
mount() { case $* in *remount,size*) ;; *) command mount "$@" ;; esac; }
mount_cache() { [ "$cache_label" = disk ] && mount --bind /disk /cache; }
load_network_modules() { mkdir -p /layers/modules/usr/lib/modules; }
nics() { echo eth0; }
ip() { :; }
start_network() { nic=eth0 interface=eth0 address=127.0.0.1/8 gateway='' BOOTIF_MAC=52:54:00:12:34:56; }
forward_syslog() { :; }
hand_over() { sh -c "$CHECK" || fail NB-ROOT 'the check failed'; }
leave() { finish_record; trap - EXIT; echo booted; exit 0; }
dmesg() { echo 'the log'; }
reboot() { exit 99; }
poweroff() { exit 98; }
setsid() { echo "a shell"; }
eval "$SCRIPT"
"""
_START = """
mount --bind "$1" /mnt && cd /mnt
for folder in layers run newroot; do mount -t tmpfs tmpfs $folder; done
for folder in dev proc; do mount --rbind /$folder $folder; done
printf '%s\\n' "$2" >run/cmdline
mount --bind run/cmdline proc/cmdline
[ -z "$3" ] || { printf '%s\\n' "$3" >run/meminfo; mount --bind run/meminfo proc/meminfo; }
[ -z "$4" ] || mount --bind "$4" etc/imagebuilder
exec chroot . /init
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a boot ended: exit status, lines of the console, seconds."""

    status: int
    lines: tuple[str, ...]
    seconds: float

    @property
    def code(self) -> str:
        """`booted`, or the code of the failure."""
        if "booted" in self.lines:
            return "booted"
        errors = [line for line in self.lines if line.startswith("nb: error=")]
        return errors[-1].split()[1].removeprefix("error=") if errors else f"nothing said: {self.lines}"


@dataclass(frozen=True, slots=True)
class Image:
    """What a server has for a node: files by path, all signed by `KEY`."""

    files: dict[str, bytes]
    manifest: Manifest

    def signed(self, key: SecretKey = KEY, manifest: Manifest | None = None, **fields: str) -> dict[str, bytes]:
        """The files with another signature of the manifest, or of another manifest."""
        data = (manifest or self.manifest).to_bytes()
        signature = key.sign(data, {"timestamp": str(SINCE + 1), "file": "discovery.manifest.json", **fields}).encode()
        return {
            **self.files,
            **dict.fromkeys(MANIFESTS, data),
            f"/blobs/sha256/{of_bytes(data)}": data,
            **{f"{path}.minisig": signature for path in (*MANIFESTS, f"/blobs/sha256/{of_bytes(data)}")},
        }


MANIFESTS = ("/discovery.manifest.json", "/v2/discovery/manifests/latest", "/v2/discovery/manifests/stable")


@dataclass(frozen=True, slots=True)
class Jail:
    """A root like the initrd's at `root`."""

    root: Path

    def boot(self, arguments: str, *, check: str = "true", meminfo: str = "", trust: Path | None = None) -> Ended:
        """Run /init with a kernel command line; `check` is a shell command on the mounted /newroot."""
        return self.run('main "$@"', arguments, check=check, meminfo=meminfo, trust=trust)

    def run(
        self, script: str, arguments: str, *, check: str = "true", meminfo: str = "", trust: Path | None = None
    ) -> Ended:
        """Run something else with the functions of /init."""
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _START, "sh"]
        argv += [str(self.root), arguments, meminfo, str(trust or "")]
        env: Mapping[str, str] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CHECK": check, "SCRIPT": script}
        began = time.monotonic()
        done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False, env=env)
        lines = [line.replace("\x1b[1;31m", "").replace("\x1b[0m", "") for line in done.stdout.splitlines()]
        return Ended(done.returncode, (*lines, *done.stderr.splitlines()), time.monotonic() - began)


def make_jail(root: Path, keys: tuple[SecretKey, ...] = (KEY, NEXT_KEY), authorities: str = "") -> Jail:
    """The initrd's folders and programs, with this machine's busybox and minisign; GNU wget for `authorities`."""
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
    for name in ("dev", "disk", "etc", "jail", "layers", "newroot", "proc", "run", "tmp", "var"):
        (root / name).mkdir()
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    programs = ["busybox", "minisign", "dhcpcd", "dropbear", *(["wget"] if authorities else [])]
    for place, file in libraries.closure(Path("/"), programs).items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / place)
    for applet in applets().iterdir():
        if not (root / "usr/bin" / applet.name).exists():
            (root / "usr/bin" / applet.name).symlink_to("busybox")
    shutil.copytree(PARTS, root / "usr/lib/imagebuilder")
    shutil.copy(NODE / "init", root / "init.real")
    (root / "init").write_text("#!/bin/sh\n" + _INIT)
    (root / "init").chmod(0o755)
    shutil.copy(NODE / "etc/wgetrc", root / "etc/wgetrc")
    trust(root / "etc/imagebuilder", keys)
    if authorities:
        (root / "etc/imagebuilder/ca.pem").write_text(authorities)
    return Jail(root)


def trust(folder: Path, keys: tuple[SecretKey, ...], since: int = SINCE) -> Path:
    """A folder as an initrd's /etc/imagebuilder: without keys it is an unsigned development initrd."""
    folder.mkdir(parents=True)
    if keys:
        (folder / "keys").write_text("".join(f"{key.public.line}\n" for key in keys))
        (folder / "since").write_text(f"{since}\n")
    return folder


def make_image(folder: Path, base_kilobytes: int = 400) -> Image:
    """A base and an overlay, so large that transfers can break off in the middle."""
    tree = folder / "base"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/base").write_text("base\n")
    noise = b"".join(bytes.fromhex(of_bytes(bytes([n % 256, n // 256]))) for n in range(base_kilobytes * 32))
    (tree / "noise").write_bytes(noise)
    argv = ["mksquashfs", str(tree), str(folder / BASE_NAME), "-quiet", "-no-progress", "-noappend"]
    subprocess.run(argv, check=True, capture_output=True)
    base = (folder / BASE_NAME).read_bytes()
    overlay = overlay_of(_file("etc/overlay", "overlay\n"), _file("noise2", noise[:40_000].hex()))
    layers = (
        layer(KERNEL, "vmlinuz-6.1", b"kernel"),
        layer(INITRD, "initrd.img-6.1", b"initrd"),
        layer(BASE, BASE_NAME, base),
        layer(OVERLAYS["cpio.gz"], OVERLAY_NAME, overlay),
    )
    manifest = Manifest(layers, "2023-11-14T22:13:20Z")
    sums = f"{of_bytes(base)}  {BASE_NAME}\n{of_bytes(overlay)}  {OVERLAY_NAME}\n".encode()
    files = {f"/{BASE_NAME}": base, f"/{OVERLAY_NAME}": overlay, "/SHA256SUMS": sums}
    for data in (base, overlay):
        files[f"/blobs/sha256/{of_bytes(data)}"] = files[f"/v2/discovery/blobs/sha256:{of_bytes(data)}"] = data
    files["/SHA256SUMS.minisig"] = KEY.sign(sums, {"timestamp": str(SINCE + 1), "file": "SHA256SUMS"}).encode()
    image = Image(files, manifest)
    return Image(image.signed(), manifest)


def overlay_of(*sources: Source) -> bytes:
    """A gzipped cpio archive."""
    archive = io.BytesIO()
    cpio.write(cpio.number([Source(Member(b".", stat.S_IFDIR | 0o755)), *sources]), archive)
    return gzip.compress(archive.getvalue(), mtime=0)


def layer(media_type: str, title: str, data: bytes) -> Layer:
    """A layer of a manifest."""
    return Layer(media_type, title, Blob(of_bytes(data), len(data)))


def _file(name: str, content: str) -> Source:
    return Source(Member(name.encode(), stat.S_IFREG | 0o644, size=len(content)), content.encode())

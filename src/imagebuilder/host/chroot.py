"""A root filesystem that programs can run in.

What the block adds is either mounted over (/proc, /sys, /dev, /run and below
it everything of the build's own) or taken away again (policy-rc.d, a missing
resolv.conf), so that none of it lands in the image.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imagebuilder.host import mounts
from imagebuilder.host.command import Command, Completed, LineSink, run
from imagebuilder.host.kernel import MountFlag, is_root_of_the_machine

INSIDE = "/run/imagebuilder"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_POLICY = Path(__file__).with_name("policy-rc.d")


class LocalChroot:
    """The real `Chroot`."""

    def __init__(self, path: Path, environment: Mapping[str, str], on_line: LineSink, stack: ExitStack) -> None:
        self._path = path
        self._environment = environment
        self._on_line = on_line
        self._stack = stack

    @property
    def path(self) -> Path:
        return self._path

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Completed:
        environment = {**self._environment, **(env or {})}
        return run(Command(tuple(argv), env=environment, root=self._path, stdin=stdin), self._on_line)

    def bind(self, source: Path, target: str, *, read_only: bool = True) -> None:
        if not target.startswith("/run/"):
            raise ValueError(f"{target} is not below /run: it would leave a mount point in the image")
        self._stack.enter_context(mounts.bind(source, self._path / target.lstrip("/"), read_only=read_only))


@contextmanager
def opened(root: Path, *, on_line: LineSink, environment: Mapping[str, str]) -> Iterator[LocalChroot]:
    """Make `root` ready to run programs in, and undo it all at the end."""
    with ExitStack() as stack:
        _kernel_filesystems(stack, root)
        (root / INSIDE.lstrip("/")).mkdir(mode=0o755)
        _no_daemons(stack, root)
        _name_resolution(stack, root)
        yield LocalChroot(root, environment, on_line, stack)


def _kernel_filesystems(stack: ExitStack, root: Path) -> None:
    secure = MountFlag.NOSUID | MountFlag.NOEXEC | MountFlag.NODEV
    stack.enter_context(mounts.mounted("proc", root / "proc", "proc", secure))
    if is_root_of_the_machine():
        stack.enter_context(mounts.mounted("sysfs", root / "sys", "sysfs", secure | MountFlag.RDONLY))
    else:  # only whoever owns the network may mount one
        stack.enter_context(mounts.bind(Path("/sys"), root / "sys", read_only=True))
    dev = stack.enter_context(mounts.mounted("tmpfs", root / "dev", "tmpfs", MountFlag.NOSUID, "mode=0755"))
    for name in _DEVICES:
        stack.enter_context(mounts.bind(Path("/dev", name), dev / name, read_only=False))
    for name, target in _DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    stack.enter_context(mounts.mounted("devpts", dev / "pts", "devpts", MountFlag.NOSUID, "newinstance,ptmxmode=0666"))
    stack.enter_context(mounts.mounted("tmpfs", dev / "shm", "tmpfs", MountFlag.NOSUID | MountFlag.NODEV))
    stack.enter_context(mounts.mounted("tmpfs", root / "run", "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, "mode=0755"))
    (root / "run/lock").mkdir()
    (root / "run/lock").chmod(0o1777)


def _no_daemons(stack: ExitStack, root: Path) -> None:
    """Packages must not start their services in a build (Debian Policy 9.3.3.2)."""
    policy = root / "usr/sbin/policy-rc.d"
    if policy.exists() or not policy.parent.is_dir():
        return
    policy.write_bytes(_POLICY.read_bytes())
    policy.chmod(0o755)
    stack.callback(policy.unlink, missing_ok=True)


def _name_resolution(stack: ExitStack, root: Path) -> None:
    """Programs in the chroot resolve names as the host does."""
    host, inside = Path("/etc/resolv.conf"), root / "etc/resolv.conf"
    if not host.exists() or not inside.parent.is_dir():
        return
    if inside.is_symlink():
        # A link into /run (as systemd's) is satisfied there; any other is the image's own affair.
        target = os.path.normpath(os.path.join("/etc", os.readlink(inside)))
        if target.startswith("/run/"):
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(host.read_bytes())
        return
    if not inside.exists():
        inside.touch()
        stack.callback(inside.unlink, missing_ok=True)
    stack.enter_context(mounts.bind(host, inside, read_only=False))

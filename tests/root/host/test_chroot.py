"""A root is made ready to run programs in, and nothing of that stays in it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebuilder.errors import CommandError
from imagebuilder.host import chroot
from imagebuilder.host.chroot import LocalChroot

pytestmark = pytest.mark.root

BUSYBOX = Path("/bin/busybox")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The smallest root that a shell runs in: Debian's busybox with its libraries."""
    root = tmp_path / "root"
    for name in ("bin", "etc", "usr/sbin", "run"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    linked = subprocess.run(["ldd", BUSYBOX], capture_output=True, text=True, check=False).stdout
    for word in linked.split():
        if word.startswith("/"):
            target = root / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)
    for name in ("sh", "ls", "cat", "env", "id", "touch", "test", "readlink", "stat", "mount"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "run/stale").touch()
    return root


@contextmanager
def _open(root: Path, lines: list[str] | None = None) -> Iterator[LocalChroot]:
    sink = lines.append if lines is not None else lambda _: None
    with chroot.opened(root, on_line=sink, environment={"APT_CONFIG": "/run/apt.conf"}) as opened:
        yield opened


def _listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_nothing_stays_in_the_root_but_mount_points(root: Path) -> None:
    before = _listing(root)
    mounts = Path("/proc/self/mounts").read_text()
    with _open(root) as opened:
        opened.run(("touch", "/run/new", "/dev/shm/new"))
        assert str(root) in Path("/proc/self/mounts").read_text()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert _listing(root) == {*before, "proc", "sys", "dev"}
    assert not [path for name in ("proc", "sys", "dev") for path in (root / name).iterdir()]


def test_root_is_left_clean_after_a_failure_too(root: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with (
        pytest.raises(CommandError, match=r"`chroot \S+ sh -c 'echo no; exit 3'` failed \(exit status 3\)"),
        _open(root) as opened,
    ):
        opened.run(("sh", "-c", "echo no; exit 3"))
    assert Path("/proc/self/mounts").read_text() == mounts
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not (root / "etc/resolv.conf").exists()


def test_programs_have_what_they_expect(root: Path) -> None:
    with _open(root) as opened:
        for device in ("null", "zero", "full", "random", "urandom", "tty"):
            status = (root / "dev" / device).stat()
            assert stat.S_ISCHR(status.st_mode)
            assert stat.S_IMODE(status.st_mode) == 0o666
        assert opened.run(("sh", "-c", "echo x >/dev/null; cat /dev/fd/0 </proc/self/status")).stdout.startswith(
            "Name:"
        )
        assert opened.run(("readlink", "/dev/stdout")).stdout == "fd/1\n"
        assert opened.run(("stat", "-c", "%a", "/run/lock", "/dev/shm", "/run")).stdout.split() == [
            "1777",
            "1777",
            "755",
        ]
        assert opened.run(("ls", "/run")).stdout.split() == ["imagebuilder", "lock"]


def test_kernels_knobs_cannot_be_turned(root: Path) -> None:
    with _open(root) as opened, pytest.raises(CommandError):
        opened.run(("sh", "-c", "echo 1 >/sys/kernel/profiling"))


def test_packages_must_not_start_services(root: Path) -> None:
    with _open(root) as opened:
        assert opened.run(("sh", "-c", "/usr/sbin/policy-rc.d ssh start || echo $?")).stdout == "101\n"


def test_policy_of_the_image_itself_is_respected(root: Path) -> None:
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("mine")
    with _open(root):
        assert policy.read_text() == "mine"
    assert policy.read_text() == "mine"


HOST = Path("/etc/resolv.conf")
RESOLV: tuple[str, ...] = ("nothing", "a file", "a link into /run", "a link elsewhere")


@pytest.mark.skipif(not HOST.exists(), reason="this host resolves no names")
@pytest.mark.parametrize("kind", RESOLV)
def test_names_are_resolved_as_on_the_host_and_the_image_keeps_its_own_way(root: Path, kind: str) -> None:
    place = root / "etc/resolv.conf"
    if kind == "a file":
        place.write_text("nameserver 192.0.2.1\n")
    elif kind == "a link into /run":
        place.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    elif kind == "a link elsewhere":
        place.symlink_to("/opt/none")
    before = os.readlink(place) if place.is_symlink() else place.read_text() if place.exists() else None
    with _open(root) as opened:
        seen = opened.run(("sh", "-c", "cat /etc/resolv.conf || true")).stdout
    assert seen == ("" if kind == "a link elsewhere" else HOST.read_text())
    assert (os.readlink(place) if place.is_symlink() else place.read_text() if place.exists() else None) == before


def test_environment_is_the_builds_and_a_commands_own(root: Path) -> None:
    with _open(root) as opened:
        seen = opened.run(("env",), env={"MINE": "1"}).stdout.splitlines()
        assert {"APT_CONFIG=/run/apt.conf", "MINE=1", "HOME=/root"} <= set(seen)
        assert opened.environment == {"APT_CONFIG": "/run/apt.conf"}


def test_lines_are_reported_and_input_is_read(root: Path) -> None:
    lines: list[str] = []
    with _open(root, lines) as opened:
        opened.run(("cat",), stdin=b"one\ntwo\n")
    assert lines == ["one", "two"]


def test_folders_and_files_of_the_host_are_shown_below_run_until_the_end(root: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("content")
    with _open(root) as opened:
        opened.bind(tmp_path / "folder", "/run/imagebuilder/x")
        opened.bind(tmp_path / "folder/file", "/run/imagebuilder/deep/y")
        opened.bind(tmp_path / "folder", "/run/imagebuilder/z", read_only=False)
        assert opened.run(("cat", "/run/imagebuilder/x/file", "/run/imagebuilder/deep/y")).stdout == "contentcontent"
        opened.run(("touch", "/run/imagebuilder/z/new"))
        with pytest.raises(CommandError):
            opened.run(("touch", "/run/imagebuilder/x/newer"))
    assert sorted(os.listdir(tmp_path / "folder")) == ["file", "new"]


@pytest.mark.parametrize("target", ["/etc/x", "/runner/x", "run/x"])
def test_bind_that_would_leave_a_mount_point_is_refused(root: Path, tmp_path: Path, target: str) -> None:
    with _open(root) as opened, pytest.raises(ValueError, match="is not below /run"):
        opened.bind(tmp_path, target)

"""The default base and discovery overlay: what is in them, what must not be, and how much of it."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

MB = 1_000_000
PROGRAMS = {
    "base": "curl jq sudo less vim.tiny ip modprobe udevadm sshd systemctl networkctl apt-get update-ca-certificates",
    "discovery": "dmidecode lshw lsscsi lspci lsusb ethtool smartctl hdparm nvme sgdisk ipmitool",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, built_images: Path) -> Path:
    """The root of the default base, unpacked."""
    root = tmp_path_factory.mktemp("base") / "root"
    (image,) = built_images.glob("base.*.squashfs.img")
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", root, image], check=True, stdout=subprocess.DEVNULL
    )
    return root


@pytest.fixture(scope="module")
def discovery(tmp_path_factory: pytest.TempPathFactory, built_images: Path) -> Path:
    """What the default discovery overlay holds, unpacked."""
    root = tmp_path_factory.mktemp("discovery")
    subprocess.run(["bsdtar", "-xpf", built_images / "discovery.overlay.cpio.gz", "-C", root], check=True)
    return root


def _chroot(root: Path, *argv: str) -> str:
    return subprocess.run(["chroot", root, *argv], capture_output=True, text=True, check=True).stdout


def _programs(*roots: Path) -> set[str]:
    return {path.name for root in roots for folder in ("usr/bin", "usr/sbin") for path in (root / folder).glob("*")}


def _field(file: Path, name: str, number: int) -> str:
    (line,) = [line for line in file.read_text().splitlines() if line.startswith(f"{name}:")]
    return line.split(":")[number]


def test_base_and_overlay_keep_to_their_budgets(base: Path, built_images: Path) -> None:
    (image,) = built_images.glob("base.*.squashfs.img")
    assert image.stat().st_size <= 48 * MB
    assert (built_images / "discovery.overlay.cpio.gz").stat().st_size <= 10 * MB
    sizes = {status.st_ino: status.st_size for status in (path.lstat() for path in base.rglob("*"))}
    assert sum(sizes.values()) <= 130 * MB


def test_the_programs_that_were_promised_are_there(base: Path, discovery: Path) -> None:
    assert set(PROGRAMS["base"].split()) <= _programs(base)
    assert set(PROGRAMS["discovery"].split()) <= _programs(discovery)
    assert {"python3", "node", "dbus-daemon"}.isdisjoint(_programs(base, discovery))


def test_monorail_may_sudo_and_nobody_may_log_in(base: Path) -> None:
    shadow = (base / "etc/shadow").read_text().splitlines()
    assert {line.split(":")[1] for line in shadow} <= {"!", "*", "!*"}
    assert _field(base / "etc/passwd", "monorail", 6) == "/bin/bash"
    assert (base / "etc/ssh/authorized_keys/monorail").read_text().strip() == ""
    assert "NOPASSWD: ALL" in _chroot(base, "sudo", "-l", "-U", "monorail")
    assert _chroot(base, "su", "monorail", "-c", "sudo -n id -u").strip() == "0"


def test_node_has_its_name_and_its_folders(base: Path) -> None:
    assert (base / "etc/hostname").read_text().strip() == "monorail-micro"
    assert "127.0.1.1 monorail-micro" in (base / "etc/hosts").read_text()
    for name in ("downloads", "uploads"):
        assert stat.S_IMODE((base / "opt" / name).stat().st_mode) == 0o777


def test_nothing_in_the_images_identifies_a_machine(base: Path, discovery: Path) -> None:
    assert (base / "etc/machine-id").read_text() == ""
    assert not list(base.glob("etc/ssh/ssh_host_*"))
    assert not (discovery / "etc/nvme/hostid").exists()
    assert not (base / "etc/resolv.conf").exists()


def test_nothing_of_the_build_is_left(base: Path, discovery: Path) -> None:
    for root in (base, discovery):
        for pattern in ("var/lib/apt/lists/*", "var/cache/apt/**/*.*", "var/log/*.log", "tmp/*"):
            assert not list(root.glob(pattern)), pattern
        assert not list(root.rglob("policy-rc.d"))
        assert not [path for path in root.glob("run/**/*") if not path.is_dir()]


def test_units_that_a_node_in_ram_has_no_use_for_do_not_start(base: Path, discovery: Path) -> None:
    enabled = {path.name for root in (base, discovery) for path in root.glob("etc/systemd/system/*.wants/*")}
    assert "systemd-networkd.service" in enabled
    assert {"apt-daily.timer", "fstrim.timer", "e2scrub_all.timer", "smartmontools.service"}.isdisjoint(enabled)


def test_packages_are_whole_for_apt_and_dpkg_in_spite_of_what_was_left_out(base: Path) -> None:
    assert _chroot(base, "dpkg", "--audit") == ""
    _chroot(base, "apt-get", "check")
    missing = {line.split()[-1] for line in _chroot_verify(base) if line.startswith("missing")}
    assert missing
    excluded = (base / "etc/dpkg/dpkg.cfg.d/on-imagebuilder").read_text()
    assert "path-exclude=/usr/share/man/*" in excluded
    assert not [
        path for path in missing if path.startswith(("/usr/bin", "/usr/sbin", "/etc", "/usr/lib/systemd/system"))
    ]


def _chroot_verify(root: Path) -> list[str]:
    done = subprocess.run(["chroot", root, "dpkg", "--verify"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def test_characters_of_efi_partitions_can_be_converted(base: Path) -> None:
    done = subprocess.run(
        ["chroot", base, "iconv", "-f", "IBM437", "-t", "UTF-8"], input=b"\x81", capture_output=True, check=True
    )
    assert done.stdout.decode() == "ü"

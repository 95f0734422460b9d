"""What apt prints, as values: packages to fetch, records of the index, complaints about mirrors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import CommandError, PackageError
from imagebuilder.host.command import Completed
from imagebuilder.resolve import apt
from imagebuilder.resolve.apt import Apt
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.sources import Sources

SHA = "0" * 63
SOURCES = Sources(("deb [signed-by=/k.gpg] http://m/debian bookworm main",), "/k.gpg", "http://m/debian", True)

URIS = f"""\
'file:/trees/files/my%20tool.deb' tool_1.0_all.deb 704
'http://m/libgcc-s1_12.2.0-14%2bdeb12u1_amd64.deb' libgcc-s1_12.2.0-14+deb12u1_amd64.deb 49856 SHA256:{SHA}1
'http://m/vim-common_9.0.1378-2%2bdeb12u2_all.deb' vim-common_2%3a9.0.1378-2+deb12u2_all.deb 124836 SHA256:{SHA}2
'http://m/less_590-2.1%7edeb12u2_amd64.deb' less_590-2.1~deb12u2_amd64.deb 132044 SHA256:{SHA}3
"""

INDEX = f"""\
Package: linux-image-amd64
Source: linux-signed-amd64 (6.1.192+2)
Version: 6.1.192-2
Installed-Size: 13
Architecture: amd64
Depends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)
Description: Linux for 64-bit PCs (meta-package)
Description-md5: 6a25122b463a5515998ee600e16b3daf
Tag: implemented-in::c, role::program,
 suite::gnu,
 works-with::text
Section: kernel
Filename: pool/main/l/linux-signed-amd64/linux-image-amd64_6.1.192-2_amd64.deb
Size: 1480
MD5sum: b6531e76cbda0d6af2dcea833040beb6
SHA256: {SHA}4

Package: vim-common
Version: 2:9.0.1378-2+deb12u2
Architecture: all
Multi-Arch: foreign
Size: 124836
SHA256: {SHA}2

"""

VERSIONS = """\
Package: less
Version: 590-2.1~deb12u2
Description: pager

Package: less
Version: 590-2
Description: pager
 Version: is no field here

Package: less
Version: 590-2
"""


class Scripted:
    """An apt that prints what it is told, in place of `run`; what it was asked is kept."""

    def __init__(self, stdout: str) -> None:
        self.stdout = stdout
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, command: Any) -> Completed:
        self.asked.append(command.argv)
        return Completed(0, self.stdout, "")


def _apt(folder: Path, monkeypatch: pytest.MonkeyPatch, stdout: str) -> tuple[Apt, Scripted]:
    scripted = Scripted(stdout)
    monkeypatch.setattr(apt, "run", scripted)
    return Apt(SOURCES, "amd64", folder), scripted


def test_packages_to_fetch_are_exact_and_the_trees_own_are_not_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, scripted = _apt(tmp_path, monkeypatch, URIS)
    assert wanted.simulate(["vim-tiny", "-y"], tmp_path / "status") == (
        Deb("less", "590-2.1~deb12u2", "amd64", 132044, f"{SHA}3"),
        Deb("libgcc-s1", "12.2.0-14+deb12u1", "amd64", 49856, f"{SHA}1"),
        Deb("vim-common", "2:9.0.1378-2+deb12u2", "all", 124836, f"{SHA}2"),
    )
    (argv,) = scripted.asked
    assert argv[-3:] == ("--", "vim-tiny", "-y")
    assert f"Dir::State::status={tmp_path}/status" in argv


def test_package_that_is_only_on_this_machine_is_exact_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"'file:/c/apt/k/kept/d/held/curl_7%3a8_amd64.deb' curl_7%3a8_amd64.deb 644 SHA256:{SHA}5\n"
    wanted, _ = _apt(tmp_path, monkeypatch, line)
    assert wanted.simulate(["curl"]) == (Deb("curl", "7:8", "amd64", 644, f"{SHA}5"),)


def test_what_is_kept_is_told_to_apt_each_time_and_only_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, scripted = _apt(tmp_path, monkeypatch, "")
    keeping = plain.knowing("Package: curl\n").preferring({"curl": "1:2", "jq": "3"})
    keeping.simulate(["curl"])
    plain.simulate(["curl"])
    options = [word.split("=", 1) for word in scripted.asked[0] if "/kept/" in word]
    assert [name for name, _ in options] == ["APT::Sources::With::", "Dir::Etc::preferences"]
    assert Path(options[0][1]).name == "Packages"  # apt goes by the name
    assert Path(options[0][1]).read_text() == "Package: curl\n"
    assert "Package: curl\nPin: version 1:2\nPin-Priority: 1001\n\nPackage: jq\n" in Path(options[1][1]).read_text()
    assert not [word for word in scripted.asked[1] if "/kept/" in word]
    assert plain.knowing("") is plain


def test_package_is_known_when_its_digest_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, scripted = _apt(tmp_path, monkeypatch, INDEX)
    kernel = Deb("linux-image-amd64", "6.1.192-2", "amd64", 1480, f"{SHA}4")
    vim = Deb("vim-common", "2:9.0.1378-2+deb12u2", "all", 124836, f"{SHA}9")
    assert wanted.known([kernel, vim]) == {kernel}
    assert scripted.asked[0][-2:] == ("linux-image-amd64:amd64=6.1.192-2", "vim-common=2:9.0.1378-2+deb12u2")
    assert wanted.known([]) == set()


def test_file_name_is_the_one_that_apt_gives_it() -> None:
    assert Deb("vim-common", "2:9.0-2", "all", 1, SHA).file_name == "vim-common_2%3a9.0-2_all.deb"
    assert Deb("less", "590-2.1~deb12u2", "amd64", 1, SHA).file_name == "less_590-2.1~deb12u2_amd64.deb"


def test_records_have_identity_and_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, vim = _apt(tmp_path, monkeypatch, INDEX)[0].records(["linux-image-amd64", "vim-common"])
    assert kernel.deb == Deb("linux-image-amd64", "6.1.192-2", "amd64", 1480, f"{SHA}4")
    assert vim.deb == Deb("vim-common", "2:9.0.1378-2+deb12u2", "all", 124836, f"{SHA}2")
    assert kernel.field("Depends") == "linux-image-6.1.0-56-amd64 (= 6.1.192-2)"
    assert kernel.field("Tag") == "implemented-in::c, role::program, suite::gnu, works-with::text"
    assert kernel.field("Description") == "Linux for 64-bit PCs (meta-package)"
    assert kernel.field("Recommends") == ""


def test_installed_status_is_what_dpkg_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, vim = _apt(tmp_path, monkeypatch, INDEX)[0].records(["x"])
    assert vim.installed_status.splitlines() == [
        "Package: vim-common",
        "Status: install ok installed",
        "Version: 2:9.0.1378-2+deb12u2",
        "Architecture: all",
        "Multi-Arch: foreign",
    ]
    names = [line.split(":")[0] for line in kernel.installed_status.splitlines() if line[0] != " "]
    assert not {"Filename", "Size", "MD5sum", "SHA256", "Description-md5"} & set(names)
    assert " works-with::text\nSection: kernel" in kernel.installed_status


def test_name_that_others_provide_has_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _apt(tmp_path, monkeypatch, "")[0].records(["awk"]) == []


def test_nothing_is_asked_about_no_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, scripted = _apt(tmp_path, monkeypatch, INDEX)
    assert wanted.records([]) == []
    assert scripted.asked == []


def test_versions_come_once_and_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _apt(tmp_path, monkeypatch, VERSIONS)[0].versions("less") == ["590-2.1~deb12u2", "590-2"]


def test_other_sources_and_architectures_have_lists_of_their_own(tmp_path: Path) -> None:
    other = Sources(("deb http://other/debian bookworm main",), "/k.gpg", "http://other/debian", False)
    folders = {Apt(s, a, tmp_path).folder for s in (SOURCES, other) for a in ("amd64", "arm64")}
    assert len(folders) == 4
    assert {Apt(s, "amd64", tmp_path).archives for s in (SOURCES, other)} == {tmp_path / "archives"}


INHERITED: tuple[tuple[str, bool], ...] = (
    ('Acquire::http::Proxy "http://proxy:3128";', True),
    ('Acquire::https::Proxy::deb.debian.org "DIRECT";', True),
    ('Acquire::Retries "7";', True),
    ('Acquire::http::Proxy "";', False),
    ('Acquire::AllowInsecureRepositories "1";', False),
    ('APT::Get::AllowUnauthenticated "true";', False),
    ('Acquire::Check-Valid-Until "false";', False),
)


@pytest.mark.parametrize(("line", "kept"), INHERITED)
def test_of_the_hosts_configuration_only_the_way_out_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, kept: bool
) -> None:
    wanted, _ = _apt(tmp_path, monkeypatch, f'APT "";\n{line}\nAcquire "";\n')
    assert (line in wanted.configuration(folder="/run/apt").splitlines()) is kept


@pytest.mark.parametrize(
    ("dump", "options"),
    [
        ('Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "0";\n', "check-valid-until=no check-date=no"),
        ('Acquire::Check-Valid-Until "true";\n', ""),
        ("", ""),
    ],
)
def test_hosts_leave_not_to_mind_dates_is_read(monkeypatch: pytest.MonkeyPatch, dump: str, options: str) -> None:
    monkeypatch.setattr(apt, "run", Scripted(dump))
    assert apt.host_date_options() == options


def _said(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


# As apt 2.6 says it.
COMPLAINTS: tuple[tuple[str, str, str, str], ...] = (
    (
        "refused",
        _said(
            "E: Failed to fetch http://127.0.0.1:1/debian/dists/bookworm/InRelease  Could not connect to "
            "127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)",
            "E: Some index files failed to download. They have been ignored, or old ones used instead.",
        ),
        "the mirror http://127.0.0.1:1/debian/dists/bookworm/InRelease cannot be reached",
        "this machine's own apt configuration",
    ),
    (
        "unknown host",
        _said("E: Failed to fetch http://nowhere/debian/dists/bookworm/InRelease  Could not resolve 'nowhere'"),
        "the mirror http://nowhere/debian/dists/bookworm/InRelease cannot be reached",
        "apt-get update",
    ),
    (
        "unknown suite",
        _said(
            "E: The repository 'http://m/debian nosuch Release' does not have a Release file.",
            "E: The repository 'http://m/debian nosuch-updates Release' does not have a Release file.",
        ),
        "the mirror http://m/debian has no suite `nosuch`",
        "`debootstrap_release`",
    ),
    (
        "unknown key",
        _said(
            "W: GPG error: http://m/debian bookworm InRelease: The following signatures couldn't be verified "
            "because the public key is not available: NO_PUBKEY 6ED0E7B82643E131",
            "E: The repository 'http://m/debian bookworm InRelease' is not signed.",
        ),
        "the mirror http://m/debian is not signed by a key that this build trusts",
        "the keys are in /k.gpg",
    ),
    (
        "expired",
        _said(
            "E: Release file for http://m/debian/dists/bookworm-updates/InRelease is expired (invalid since "
            "531d 2h 10min 44s). Updates for this repository will not be applied."
        ),
        "the mirror http://m/debian/dists/bookworm-updates/InRelease has a Release file that is out of date",
        "`date`",
    ),
    (
        "from the future",
        _said(
            "E: Release file for http://m/debian/dists/bookworm/InRelease is not valid yet (invalid for another "
            "2h 10min 44s). Updates for this repository will not be applied."
        ),
        "the mirror http://m/debian/dists/bookworm/InRelease has a Release file that is out of date",
        "`date`",
    ),
    (
        "tampered with",
        _said(
            "E: Failed to fetch http://m/debian/dists/bookworm/main/binary-amd64/Packages.xz  Hash Sum mismatch",
            "   Hashes of expected file:",
        ),
        "the mirror http://m/debian/dists/bookworm/main/binary-amd64/Packages.xz serves something else",
        "try again",
    ),
    ("no words at all", "killed after 180 s\n", "the mirror http://m/debian cannot be reached", "curl"),
)


@pytest.mark.parametrize(("name", "said", "message", "hint"), COMPLAINTS, ids=[name for name, *_ in COMPLAINTS])
def test_complaint_of_apt_says_which_mirror_what_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str, message: str, hint: str
) -> None:
    def refuse(command: Any) -> Completed:
        if command.argv[0] == "apt-config":
            return Completed(0, "", "")
        raise CommandError(command.argv, 100, said)

    monkeypatch.setattr(apt, "run", refuse)
    with pytest.raises(PackageError) as caught:
        Apt(SOURCES, "amd64", tmp_path).update()
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")
    assert caught.value.detail == said


def test_transfer_that_hangs_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def hang_once(command: Any) -> Completed:
        if "update" in command.argv:
            asked.append(command.argv)
            if len(asked) == 1:
                raise CommandError(command.argv, -9, "killed after 180 s\n")
        return Completed(0, "", "")

    monkeypatch.setattr(apt, "run", hang_once)
    Apt(SOURCES, "amd64", tmp_path).update()
    assert len(asked) == 2

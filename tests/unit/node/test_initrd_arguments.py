"""What the initrd makes of the kernel command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from initrd_shell import FAILED, quoted, run_shell

RACKHD = (
    "vmlinuz initrd=initrd.img auto=true SYSLOGSERVER=172.31.128.1 API_CB=172.31.128.1:9080 "
    "BASEFS=common/base.squashfs.img OVERLAYFS=http://172.31.128.1:9080/x?a=1&amp;b=2&amp;c "
    "BOOTIF=01-52:54:00:AB:34:56 console=tty0 console=ttyS0,115200n8"
)
LINES = {
    RACKHD: {
        "API_CB": "172.31.128.1:9080",
        "BASEFS": "common/base.squashfs.img",
        "OVERLAYFS": "http://172.31.128.1:9080/x?a=1&b=2&c",
        "BOOTIF_MAC": "52:54:00:ab:34:56",
        "SYSLOGSERVER": "172.31.128.1",
        "on_fail": "reboot",
    },
    "ip=dhcp nb.onfail=shell ip=10.0.0.2/24": {"ip_argument": "10.0.0.2/24", "on_fail": "shell"},
    'x="a BASEFS=no" OVERLAYFS="a,b" nb.report=/r/1 API_CB="h:1"': {
        "BASEFS": "",
        "OVERLAYFS": "a,b",
        "REPORT": "http://h:1/r/1",
    },
    "MANIFEST=discovery:stable nb.manifest_min=1700000000 SERVERS=a,b nb.report=http://x/y": {
        "MANIFEST": "discovery:stable",
        "manifest_min": "1700000000",
        "SERVERS": "a,b",
        "REPORT": "http://x/y",
    },
    "BASEFS= unknown * $(reboot) `reboot` a=b=c API_CB=h:1?": {"BASEFS": "", "API_CB": "h:1?"},
    "": {
        "BASEFS": "",
        "OVERLAYFS": "",
        "BOOTIF_MAC": "",
        "SYSLOGSERVER": "",
        "API_CB": "",
        "ip_argument": "",
        "MANIFEST": "",
    },
}
MACS = {
    "01-52-54-00-12-34-56": "52:54:00:12:34:56",
    "01-52:54:00:12:34:56": "52:54:00:12:34:56",
    "20-AA-BB-CC-DD-EE-FF": "aa:bb:cc:dd:ee:ff",
    "52:54:00:12:34:56": "52:54:00:12:34:56",
    "AA-BB-CC-DD-EE-FF": "aa:bb:cc:dd:ee:ff",
}
URLS = {
    "common/base.img": "http://srv:9080/common/base.img http://b/common/base.img http://c:81/common/base.img",
    "//common/base.img": "http://srv:9080/common/base.img http://b/common/base.img http://c:81/common/base.img",
    "http://other/x?y=1&z": "http://other/x?y=1&z",
}
STATIC = {
    "10.0.0.5::10.0.0.1:255.255.255.0::eth1::10.0.0.2:10.0.0.3": "10.0.0.5/24|10.0.0.1|eth1|10.0.0.2 10.0.0.3|static",
    "10.1.2.3:10.0.0.9:10.1.0.1:255.255.128.0": "10.1.2.3/17|10.1.0.1|||static",
    "10.0.0.5/22::10.0.0.1": "10.0.0.5/22|10.0.0.1|||static",
    "10.0.0.5/22": "10.0.0.5/22||||static",
    "[2001:db8::5]/56::[2001:db8::1]:::eth1:off:[2001:db8::53]": "2001:db8::5/56|2001:db8::1|eth1|2001:db8::53|static",
    "[2001:db8::5]": "2001:db8::5/64||||static",
    ":::::eth1:dhcp": "||eth1||dhcp",
    ":::::eth1:auto6:[2001:db8::53]": "||eth1|2001:db8::53|auto6",
    "dhcp": "||||dhcp",
    "dhcp6": "||||dhcp6",
    "auto6": "||||auto6",
    "on": "||||any",
    "": "||||any",
    "]][;$(reboot)": "||||any",
}


@pytest.mark.parametrize("line", LINES)
def test_command_line_becomes_variables_and_is_never_run(tmp_path: Path, line: str) -> None:
    prints = "".join(f'echo "{name}=${name}"\n' for name in LINES[line])
    result = run_shell(f"parse_arguments {quoted(line)}\n{prints}", tmp_path)
    assert result.stdout.splitlines() == [f"{name}={value}" for name, value in LINES[line].items()]
    assert result.stderr == ""


@pytest.mark.parametrize("given", MACS)
def test_every_spelling_of_bootif_is_one_address(tmp_path: Path, given: str) -> None:
    assert run_shell(f"normal_mac {given}", tmp_path).stdout == MACS[given]


@pytest.mark.parametrize("name", URLS)
def test_artifact_is_named_by_path_or_url(tmp_path: Path, name: str) -> None:
    script = f'API_CB=srv:9080 SERVERS=b,http://c:81; locate {quoted(name)}; printf %s "$urls"'
    assert run_shell(script, tmp_path).stdout == URLS[name]


def test_server_may_be_an_address_of_ipv6(tmp_path: Path) -> None:
    script = 'API_CB="[2001:db8::1]:9080" SERVERS=; locate x; echo "$urls"'
    assert run_shell(script, tmp_path).stdout == "http://[2001:db8::1]:9080/x\n"


def test_servers_alone_are_enough(tmp_path: Path) -> None:
    assert run_shell('API_CB="" SERVERS=b; locate x; echo "$urls"', tmp_path).stdout == "http://b/x\n"


@pytest.mark.parametrize(
    ("name", "server", "said"),
    [
        ("common/x", "", "neither API_CB= nor SERVERS= says on which server"),
        ("ftp://h/x", "srv", "`ftp://h/x` is neither an http:// nor an https:// address"),
        ("https://h/x", "srv", "`https://h/x`: this initrd was built without `tls: true`"),
        ("x", "https://srv", "`https://srv/x`: this initrd was built without `tls: true`"),
    ],
)
def test_artifact_that_cannot_be_fetched_is_named(tmp_path: Path, name: str, server: str, said: str) -> None:
    result = run_shell(f"API_CB={server} SERVERS=; locate {name}", tmp_path)
    assert result.returncode == FAILED
    assert "error=NB-ARGUMENT" in result.stdout
    assert said in result.stdout


@pytest.mark.parametrize("value", STATIC)
def test_ip_is_read_as_the_kernel_reads_it(tmp_path: Path, value: str) -> None:
    script = f'parse_ip {quoted(value)}; echo "$address|$gateway|$device|$(echo $nameservers)|$method"'
    result = run_shell(script, tmp_path)
    assert (result.stdout.strip(), result.stderr) == (STATIC[value], "")

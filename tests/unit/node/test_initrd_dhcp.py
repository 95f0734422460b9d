"""What a DHCP server says is kept as data."""

from __future__ import annotations

import subprocess
from pathlib import Path

from initrd_shell import PARTS, applets, run_shell


def _lease(folder: Path, event: str = "bound", **said: str) -> Path:
    lease = folder / "lease"
    env = {"PATH": str(applets()), "LEASE": str(lease), **said}
    subprocess.run([applets() / "sh", str(PARTS / "lease.script"), event], env=env, check=True)
    return lease


def _read(folder: Path) -> list[str]:
    script = '. "$LEASE"; for v in "$address" "$gateway" "$nameservers" "$domain" "$mtu"; do echo "$v"; done'
    return run_shell(script, folder).stdout.splitlines()


def test_lease_is_kept_with_the_first_of_its_routers(tmp_path: Path) -> None:
    said = {"ip": "10.0.0.5", "mask": "20", "router": "10.0.0.1 10.0.0.2", "dns": "10.0.0.3 10.0.0.4", "mtu": "9000"}
    _lease(tmp_path, **said, domain="example.org")
    assert _read(tmp_path) == ["10.0.0.5/20", "10.0.0.1", "10.0.0.3 10.0.0.4", "example.org", "9000"]


def test_lease_with_an_address_alone_is_enough(tmp_path: Path) -> None:
    _lease(tmp_path, ip="10.0.0.5")
    assert _read(tmp_path) == ["10.0.0.5/24", "", "", "", ""]


def test_values_from_the_network_are_never_run(tmp_path: Path) -> None:
    _lease(tmp_path, ip="10.0.0.5", domain="x'; touch pwned; '$(touch pwned)`touch pwned`", dns="a\nb=1")
    assert _read(tmp_path)[3] == "x; touch pwned; $(touch pwned)`touch pwned`"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lease"]


def test_lease_of_dhcpcd_is_kept_in_the_same_way(tmp_path: Path) -> None:
    said = {"new_dhcp6_ia_na1_ia_addr1": "2001:db8::9", "new_dhcp6_name_servers": "2001:db8::1 2001:db8::2"}
    _lease(tmp_path, "", reason="BOUND6", new_dhcp6_domain_search="example.org", **said)
    assert _read(tmp_path) == ["2001:db8::9/128", "", "2001:db8::1 2001:db8::2", "example.org", ""]
    (tmp_path / "lease").unlink()
    assert not _lease(tmp_path, "", reason="PREINIT").exists()


def test_other_events_change_nothing(tmp_path: Path) -> None:
    for event in ("deconfig", "leasefail", "nak", "renew"):
        assert not _lease(tmp_path, event).exists()

"""The kernel command line of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.boot.arguments import Arguments
from imagebuilder.boot.artifacts import Artifacts

MAC = "52:54:00:00:00:01"
CONSOLE = "console=ttyS0,115200n8 loglevel=6"


@pytest.mark.parametrize(
    ("overlays", "more", "middle", "end"),
    [
        ((), "", "", ""),
        (("a.overlay.cpio.gz",), "", " OVERLAYFS=/a.overlay.cpio.gz", ""),
        (("b.cpio", "a.squashfs"), "quiet SYSLOGSERVER=x", " OVERLAYFS=/b.cpio,/a.squashfs", " quiet SYSLOGSERVER=x"),
    ],
)
def test_layers_are_paths_on_the_server_and_what_the_user_adds_comes_last(
    overlays: tuple[str, ...], more: str, middle: str, end: str
) -> None:
    artifacts = Artifacts(Path("/b"), "vmlinuz-6", "initrd.img-6", "base.img", overlays)
    expected = f"API_CB=10.0.2.2:80 BASEFS=/base.img{middle} BOOTIF=01-52-54-00-00-00-01 {CONSOLE}{end}"
    assert Arguments("10.0.2.2:80", MAC, more).command_line(artifacts) == expected


def test_manifest_stands_for_all_layers() -> None:
    artifacts = Artifacts(Path("/b"), "vmlinuz-6", "initrd.img-6", "base.img", ("a",), "a.manifest.json")
    assert " MANIFEST=/a.manifest.json BOOTIF=" in Arguments("10.0.2.2:80", MAC).command_line(artifacts)
    assert "BASEFS" not in Arguments("10.0.2.2:80", MAC).command_line(artifacts)

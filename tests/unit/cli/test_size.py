"""`imagebuilder size` in words, as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from layers import layer, write_base, write_overlay


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    """An artifact folder."""
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(bytes(1000))
    lists = {"/var/lib/dpkg/info/tool.list": "/usr/bin/tool\n"}
    write_base(folder / "base.img", layer({"/usr/bin/tool": "t" * 500, "/opt/other": "o" * 70, **lists}))
    write_overlay(folder / "x.gz", layer({"/a": "a" * 5}))
    return folder


def test_each_layer_counts_once(builds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["size", str(builds), str(builds / "x.gz"), "--store", str(builds.parent / "store")]
    assert main([*argv, "--json"]) == 0
    layers = {one["title"]: one for one in json.loads(capsys.readouterr().out)["layers"]}
    assert list(layers) == ["base.img", "vmlinuz", "x.gz"]
    assert layers["base.img"]["packages"] == {"tool": 514, "(no package)": 70}
    assert layers["base.img"]["folders"] == {"/usr/bin": 500, "/opt": 70, "/var/lib/dpkg": 14}
    assert (layers["vmlinuz"]["unpacked"], layers["vmlinuz"]["packages"]) == (1000, None)
    assert main(argv) == 0
    assert ["tool", "514", "B", "base.img"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_page_is_written(builds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = builds.parent / "size.html"
    assert main(["size", str(builds), "--html", str(page), "--store", str(builds.parent / "store")]) == 0
    assert "tool" in page.read_text()
    said = capsys.readouterr()
    assert (said.out, said.err.startswith("3 layers, ")) == ("", True)

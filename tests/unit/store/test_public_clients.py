"""Programs of others read our store as the image layout that it is, and a registry that we pushed to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.listing import list_entries
from imagebuilder.store.manifest import Layer
from imagebuilder.store.referrers import attach, referrers
from imagebuilder.store.registry.pull import pull
from imagebuilder.store.registry.push import push
from imagebuilder.store.verify import verify
from registries import docker_registry, nothing
from stores import SPDX, add_image

NAME = "extra:latest"


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


@pytest.fixture
def image(layout: Layout) -> str:
    """An image with a past and something attached; how skopeo names it."""
    add_image(layout, NAME, "old")
    manifest = add_image(layout, NAME, "overlay")
    attach(layout, manifest, SPDX, [Layer(SPDX, "a.json", layout.put(b"list"))])
    return f"oci:{layout.root}:{NAME}"


def test_skopeo_inspects_and_copies_an_image_to_another_layout(layout: Layout, image: str, tmp_path: Path) -> None:
    manifest = read_index(layout).names[NAME]
    raw = _run("skopeo", "inspect", "--raw", image)
    assert raw.encode() == layout.read(manifest.sha256)
    _run("skopeo", "copy", image, f"oci:{tmp_path}/copy:{NAME}")
    copy = Layout(tmp_path / "copy")
    assert copy.read(manifest.sha256) == layout.read(manifest.sha256)
    assert verify(copy, nothing) == ()


def test_skopeo_and_we_copy_to_and_from_a_registry_what_the_other_understands(
    layout: Layout, image: str, tmp_path: Path
) -> None:
    manifest = read_index(layout).names[NAME]
    with docker_registry(tmp_path / "registry") as registry:
        insecure = ["--tls-verify=false", f"docker://{registry.host}/images/extra:latest"]
        _run("skopeo", "copy", "--dest-tls-verify=false", image, f"docker://{registry.host}/images/skopeo:latest")
        there = Layout(tmp_path / "there")
        there.prepare()
        assert pull(registry.pull(there, "images/skopeo"), "latest")[0] == manifest

        push(registry.push(layout, "images/extra"), manifest, "latest")
        assert json.loads(_run("skopeo", "inspect", "--raw", *insecure)) == json.loads(layout.read(manifest.sha256))


def test_image_that_skopeo_puts_into_our_store_stays_and_so_does_what_is_ours(
    layout: Layout, image: str, tmp_path: Path
) -> None:
    before = list_entries(layout)
    _run("skopeo", "copy", image, f"oci:{layout.root}:theirs")
    assert list_entries(layout) == before
    assert len(referrers(layout, before[0].manifest)) == 1
    assert _run("umoci", "ls", "--layout", str(layout.root)).split() == [NAME, "theirs"]


def test_umoci_collects_no_garbage_in_our_store_but_garbage(layout: Layout, image: str) -> None:
    before = sorted(layout.root.rglob("*"))
    layout.put(b"garbage")
    _run("umoci", "gc", "--layout", str(layout.root))
    assert sorted(layout.root.rglob("*")) == before

"""A store of a few images and blobs, and a server of it, for the tests of one module; a small store for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import Layer
from imagebuilder.store.referrers import attach
from imagebuilder.store.signing import SIGNATURE_TYPE
from serving import BIG, HUGE, SIGNATURE, BootServer, boot_server
from stores import add_image


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("serve") / "store")
    layout.prepare()
    manifest = add_image(layout, "discovery:latest", "overlay")
    signature = layout.put(SIGNATURE)
    attach(layout, manifest, SIGNATURE_TYPE, [Layer(SIGNATURE_TYPE, "discovery.manifest.json.minisig", signature)])
    add_image(layout, "raid:latest", "raid")
    layout.put(BIG)
    layout.put(b"")
    layout.put(bytes(HUGE))
    return layout


@pytest.fixture(scope="module")
def server(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    ipxe = tmp_path_factory.mktemp("ipxe")
    (ipxe / "undionly.kpxe").write_bytes(b"iPXE")
    (layout.root.parent / "secret").write_text("secret")
    with boot_server(layout.root, "--image", "discovery", "--append", "quiet", "--ipxe", ipxe) as server:
        yield server


@pytest.fixture
def small_store(tmp_path: Path) -> Layout:
    """A store with one image, `discovery:latest`, for a test that changes what the server remembers."""
    layout = Layout(tmp_path / "store")
    layout.prepare()
    add_image(layout, "discovery:latest", "x")
    return layout

"""A store of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.store.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "store")
    layout.prepare()
    return layout

"""A registry that all tests of a module use, and two stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuilder.store.layout import Layout
from registries import Registry, docker_registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    """Another machine's store."""
    layout = Layout(tmp_path / "there")
    layout.prepare()
    return layout

"""The one table of old variables."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import BaseModel

from imagebuilder.spec.config import BaseKeys, InitrdKeys, OverlayKeys
from imagebuilder.spec.legacy.variables import TABLE, find, list_keys
from imagebuilder.spec.settings import Settings

_MODELS: dict[str, type[BaseModel]] = {"initrd": InitrdKeys, "base": BaseKeys, "overlay": OverlayKeys, "tree": Settings}


def test_every_variable_stands_once() -> None:
    assert max(Counter(row.name for row in TABLE).values()) == 1


def test_what_means_a_key_names_one_that_there_is() -> None:
    for row in TABLE:
        if row.fate == "key" and "file name" not in row.about:
            assert row.about in _MODELS[row.place].model_fields, row.name
        if row.fate == "same":
            assert row.name in Settings.model_fields


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("basefs_package_manifest", "basefs_package_manifest"),
        ("discovery_overlay_package_manifest", "*_package_manifest"),
        ("dell_raid_perccli_package", "*_perccli_package"),
        ("my_own", None),
    ],
)
def test_exact_name_comes_before_a_pattern(name: str, found: str | None) -> None:
    row = find(name)
    assert (row.name if row else None) == found


def test_lists_belong_to_a_kind_of_image() -> None:
    names = frozenset({"basefs_package_manifest", "x_package_manifest", "initrd_include_binaries", "own"})
    assert list_keys("base", names) == {"basefs_package_manifest": "packages"}
    assert list_keys("overlay", names) == {"x_package_manifest": "packages"}
    assert list_keys("initrd", names) == {"initrd_include_binaries": "include_binaries"}

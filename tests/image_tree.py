"""Image trees for tests: a few files, written as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from imagebuilder.spec.tree import TreeSpec, load_tree

OVERLAY = "- import_playbook: common/overlay_wrapper.yml\n  vars: {config_file: vars/x.yml}\n"
BASE = "- import_playbook: common/basefs_wrapper.yml\n  vars: {config_file: vars/base.yml}\n"


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write files of a tree, each text without its common indentation; returns `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return root


def read_tree(root: Path, files: Mapping[str, str], **extra: Any) -> TreeSpec:
    """Write a tree and read its all.yml, by default one overlay with the config file vars/x.yml."""
    write_tree(root, {"all.yml": OVERLAY, **files})
    return load_tree(root / "all.yml", extra)

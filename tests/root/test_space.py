"""A build root that is too small."""

from __future__ import annotations

from pathlib import Path

import pytest

from builds import traces
from mirror import Mirror

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_full_build_root_is_named_with_the_variable_that_makes_it_larger(
    mirror: Mirror, tmp_path: Path, mirror_cache: Path
) -> None:
    site = mirror.site(tmp_path, mirror_cache, "build_root_size: 20M\n")
    done = site.run()
    assert done.returncode == 1
    assert "\nerror: base: bootstrap: " in done.stderr
    hint = "hint: the build root is full: give `build_root_size` in group_vars/on_imagebuild a larger size\n"
    assert done.stderr.endswith(hint)
    assert not site.builds.exists()
    assert not list(traces(str(tmp_path)))

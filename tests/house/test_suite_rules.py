"""The test suite's own rules: no silent gap in CI, cheap tests first, time limits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

SKIPS = {
    "a test that skips itself": "import pytest\ndef test_it():\n    pytest.skip('no tool')\n",
    "a test that is marked": "import pytest\n@pytest.mark.skip(reason='no tool')\ndef test_it(): ...\n",
    "a module that skips itself": "import pytest\npytest.skip('no tool', allow_module_level=True)\n",
    "a module that misses an import": "import pytest\npytest.importorskip('no_tool')\n",
}


def _pytest(suite: Path, *argv: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a suite with our conftest and configuration."""
    shutil.copy(REPOSITORY / "tests" / "conftest.py", suite / "tests" / "conftest.py")
    shutil.copy(REPOSITORY / "pyproject.toml", suite)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *argv],
        cwd=suite,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


def _write(suite: Path, name: str, text: str) -> None:
    path = suite / "tests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS.keys())
def test_skip_is_a_failure_in_ci_and_only_there(tmp_path: Path, text: str) -> None:
    _write(tmp_path, "unit/test_it.py", text)
    in_ci = _pytest(tmp_path, ci="true")
    assert in_ci.returncode != 0
    assert "skipped, which CI does not allow" in in_ci.stdout
    assert "1 skipped" in _pytest(tmp_path, ci="").stdout


def test_expected_failure_is_no_skip(tmp_path: Path) -> None:
    _write(tmp_path, "unit/test_it.py", "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n")
    result = _pytest(tmp_path, ci="true")
    assert result.returncode == 0
    assert "1 xfailed" in result.stdout


def test_cheap_tests_run_before_boots(tmp_path: Path) -> None:
    for name in ("boot/test_a.py", "root/test_b.py", "unit/test_c.py", "house/test_d.py"):
        _write(tmp_path, name, "def test_it(): ...\n")
    lines = _pytest(tmp_path, "-v", ci="true").stdout.splitlines()
    order = [line.split("/")[1] for line in lines if "PASSED" in line]
    assert order == ["house", "unit", "root", "boot"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import pytest\n@pytest.mark.nonsense\ndef test_it(): ...\n", "nonsense"),
        ("import warnings\ndef test_it():\n    warnings.warn('old way')\n", "old way"),
        ("import pytest, time\n@pytest.mark.timeout(1)\ndef test_it():\n    time.sleep(5)\n", "Timeout"),
    ],
    ids=["a marker that nobody declared", "a warning", "a test that takes too long"],
)
def test_suite_fails_for(tmp_path: Path, text: str, complaint: str) -> None:
    _write(tmp_path, "unit/test_it.py", text)
    result = _pytest(tmp_path, ci="")
    assert result.returncode != 0
    assert complaint in result.stdout + result.stderr

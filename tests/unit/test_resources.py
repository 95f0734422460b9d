"""The folders that travel with the program are found in a checkout and in an installed wheel alike."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imagebuilder import resources

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def _files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }


def test_checkout_reads_its_own_folders() -> None:
    assert resources.folder("images") == REPOSITORY / "images"
    assert resources.folder("packaging") == REPOSITORY / "packaging"


@pytest.mark.parametrize("name", ["images", "packaging"])
def test_wheel_carries_the_whole_folder(wheel: Path, name: str) -> None:
    carried = _files(wheel / "imagebuilder" / f"_{name}")
    assert carried
    assert carried == _files(REPOSITORY / name)


def test_wheel_carries_every_file_of_the_package(wheel: Path) -> None:
    files = _files(REPOSITORY / "src" / "imagebuilder")
    assert "host/probe.sh" in files
    assert files <= _files(wheel / "imagebuilder")


def test_installed_program_reads_what_the_wheel_brought(wheel: Path) -> None:
    program = "from imagebuilder import resources; print(resources.folder('packaging'))"
    found = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == wheel / "imagebuilder" / "_packaging"

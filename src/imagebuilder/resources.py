"""Where the folders that travel with the program lie: the default image tree, lists of Debian packages, some docs.

In a checkout (and an editable install of it) they are read where they lie; the
wheel carries copies under names of its own (pyproject.toml says which).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parents[1]


def folder(name: str) -> Path:
    """The folder `name` (`images`, `packaging`, `docs`) of the checkout or of the installed package."""
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _CHECKOUT / name

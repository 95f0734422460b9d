"""Licences of machine-readable copyright files: SPDX where it is certain, nothing where it is not."""

from __future__ import annotations

import pytest
from cyclonedx.spdx import is_expression

from imagebuilder.sbom.licences import _KNOWN, Licences, expression, read

NAMES = (
    ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-2", "GPL-2.0-only"),
    ("GPL-2.0+", "GPL-2.0-or-later"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"),
    ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
    ("Expat", "MIT"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("GPL-2+ or BSD-3-clause", "(GPL-2.0-or-later OR BSD-3-Clause)"),
    ("Expat and ISC or Zlib", "((MIT AND ISC) OR Zlib)"),
    ("Expat or ISC, and Zlib", "((MIT OR ISC) AND Zlib)"),
    ("MIT", ""),  # of many texts
    ("GPL", ""),
    ("GPL-4+", ""),
    ("GPL-NIV-2", ""),
    ("public-domain", ""),
    ("GPL-3+ with Bison exception", ""),
    ("GPL-2+ or Artistic", ""),
    ("Expat, ISC", ""),
    ("", ""),
)

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: x
License: WTFPL

Files: *
Copyright: 2001 A
License: GPL-2+
 A text.
 .
 More of it.

Files: lib/*
# a comment
Copyright: 2002 B
License: Expat

Files: more/*
Copyright: 2003 C
License: GPL-2+

License: Apache-2.0
 Of no file.
"""


@pytest.mark.parametrize(("name", "spdx"), NAMES)
def test_name_means_an_spdx_expression_or_nothing(name: str, spdx: str) -> None:
    assert expression(name) == spdx
    assert not spdx or is_expression(spdx)


def test_all_names_that_are_known_are_of_spdx() -> None:
    for name in _KNOWN.values():
        assert is_expression(name)


def test_licences_of_all_files_hold_together() -> None:
    assert read(COPYRIGHT) == Licences("GPL-2.0-or-later AND MIT", ("Expat", "GPL-2+"))


def test_one_that_is_not_certain_leaves_the_names() -> None:
    assert read(COPYRIGHT.replace("Expat", "BSD")) == Licences("", ("BSD", "GPL-2+"))


@pytest.mark.parametrize("text", ["", "This package is free.\n\nLicense: GPL-2\n", COPYRIGHT.split("\n\n")[0]])
def test_file_of_free_form_says_nothing(text: str) -> None:
    assert read(text) == Licences()

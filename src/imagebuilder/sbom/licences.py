"""Licences out of Debian's machine-readable copyright files, as SPDX expressions where they are certain.

A name that SPDX does not have, or that stands for several texts (`MIT`,
`public-domain`, `BSD`), makes no expression: a guess would be worse than none.

Source: debian.org/doc/packaging-manuals/copyright-format/1.0, spdx.org/licenses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagebuilder.sbom.packages import stanzas

_FORMAT = "copyright-format/1.0"
_GNU = re.compile(r"(?P<name>AGPL|LGPL|GPL|GFDL)(?P<niv>-NIV)?-(?P<version>\d(?:\.\d)?)(?P<later>\+?)")
_GNU_VERSIONS = {
    "AGPL": ("1.0", "3.0"),
    "GPL": ("1.0", "2.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "GFDL": ("1.1", "1.2", "1.3"),
}
# Names that say the same in both worlds, but for the one that Debian spells `Expat`.
_SAME = (
    "0BSD AFL-2.1 Apache-1.1 Apache-2.0 Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-3-Clause BSD-4-Clause BSL-1.0"
    " CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 curl EPL-1.0 FSFAP FSFUL FSFULLR ICU ISC MPL-1.1 MPL-2.0"
    " OFL-1.1 OLDAP-2.8 PostgreSQL SSH-OpenSSH SSH-short TCP-wrappers Unlicense WTFPL X11 Zlib"
)
_KNOWN = {**{name.lower(): name for name in _SAME.split()}, "expat": "MIT"}
# The weakest joint first; a comma in front of one makes it weaker than those without.
_JOINTS = ((", or ", " OR "), (", and ", " AND "), (" or ", " OR "), (" and ", " AND "))


@dataclass(frozen=True, slots=True)
class Licences:
    """What a copyright file names: `expression` for SPDX, "" when uncertain, and the names as they stand there."""

    expression: str = ""
    names: tuple[str, ...] = ()


def read(copyright: str) -> Licences:
    """The licences of all files of a package; none for a copyright file of free form."""
    paragraphs = list(stanzas(copyright))
    if not paragraphs or _FORMAT not in paragraphs[0].get("Format", ""):
        return Licences()
    # A paragraph without `Files` only gives a licence's text.
    of_files = [fields["License"] for fields in paragraphs if "Files" in fields and "License" in fields]
    named = [text.partition("\n")[0].strip() for text in of_files]
    names = tuple(sorted(set(named)))
    expressions = [expression(name) for name in names]
    if not all(expressions):
        return Licences("", names)
    return Licences(" AND ".join(sorted(set(expressions))), names)


def expression(text: str) -> str:
    """The SPDX expression that a licence's short name, or several with `and` and `or`, means; "" if uncertain."""
    for separator, joint in _JOINTS:
        if separator in text:
            parts = [expression(part) for part in text.split(separator)]
            return f"({joint.join(parts)})" if all(parts) else ""
    return _identifier(text.strip())


def _identifier(name: str) -> str:
    match = _GNU.fullmatch(name)
    if not match:
        return _KNOWN.get(name.lower(), "")
    version = match["version"] if "." in match["version"] else f"{match['version']}.0"
    if version not in _GNU_VERSIONS[match["name"]] or (match["niv"] and match["name"] != "GFDL"):
        return ""
    invariants = "-no-invariants" if match["niv"] else ""
    return f"{match['name']}-{version}{invariants}{'-or-later' if match['later'] else '-only'}"

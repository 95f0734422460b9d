"""Start of the build's own Python in a chroot: take Ansible's library from the compiled copy.

Every module of Ansible brings that library along as source in a zip file and
would compile it anew: 0.1 s each time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder

_PREFIX = "ansible."
_CORE = f"{sys.prefix}/lib/core"


class _CompiledLibrary:
    """A finder of modules (importlib.abc.MetaPathFinder, which would cost an import of its own)."""

    @staticmethod
    def find_spec(fullname: str, _path: Sequence[str] | None, _target: object = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{_PREFIX}module_utils"):
            return None
        folders = fullname.removeprefix(_PREFIX).split(".")[:-1]
        return PathFinder.find_spec(fullname, ["/".join((_CORE, *folders))])


sys.meta_path.insert(0, _CompiledLibrary())

"""The Python that a build lends to a chroot, so that images need none.

The folder, mounted at `MOUNT_POINT` while a role runs:

    bin/python3    starts the interpreter with its own loader and libraries
    bin/python     the interpreter itself
    lib/python3*   Debian's standard library and packages (python-apt), compiled
    lib/core       what every module of Ansible imports, compiled
    native/        shared libraries
    ld.so          the loader, a link into native/
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command
from imagebuilder.host.files import remove_tree
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs, Source, Step

BUNDLE_PACKAGES = ("python3", "python3-apt")
"""What to resolve, with all dependencies, in the image's own suite: python-apt reads the image's apt data."""

MOUNT_POINT = "/run/imagebuilder/python"
INTERPRETER = f"{MOUNT_POINT}/bin/python3"

_PARTS = Path(__file__).parents[1] / "ansible" / "interpreter"


def _part(name: str) -> Source:
    return Source.of(_PARTS / name)


def ansible_version() -> str:
    """The version of ansible-core that runs roles."""
    from importlib import metadata  # late, for most trees need no Ansible

    return metadata.version("ansible-core")


@dataclass(frozen=True, slots=True)
class PythonBundle(Step):
    """A folder to mount at `MOUNT_POINT`; `debs` are `BUNDLE_PACKAGES` and all that they depend on."""

    kind = "python-bundle"
    makes_folder = True

    debs: tuple[Deb, ...]
    ansible_core: str = field(default_factory=ansible_version)
    launcher: Source = field(default_factory=lambda: _part("python3.sh"))
    hook: Source = field(default_factory=lambda: _part("sitecustomize.py"))

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Unpack the packages beside their place, keep what Python needs, compile it."""
        from imagebuilder.steps.extract import unpack  # late, for planning needs none of it

        unpacked = output / "unpacked"
        unpacked.mkdir()
        unpack(machine, self.debs, unpacked, ("/usr/bin/python3*", "/lib/*", "/usr/lib/*"))
        for folder in ("bin", "lib", "native"):
            (output / folder).mkdir()
        for source, target in _kept(unpacked):
            source.rename(output / target)
        remove_tree(unpacked)
        (output / "ld.so").symlink_to(_loader(output / "native").relative_to(output))
        self._add_parts(output)
        _compile(machine, output)

    def _add_parts(self, output: Path) -> None:
        """Our launcher, and Ansible's own library with the hook that leads modules to it."""
        shutil.copy(self.launcher.path, output / "bin/python3")
        (output / "bin/python3").chmod(0o755)
        (standard_library,) = (output / "lib").glob("python3.*")
        hook = standard_library / "sitecustomize.py"
        hook.unlink(missing_ok=True)
        shutil.copy(self.hook.path, hook)
        from importlib import metadata

        library = Path(str(metadata.distribution("ansible-core").locate_file("ansible/module_utils")))
        for source in library.rglob("*.py"):
            target = output / "lib/core/module_utils" / source.relative_to(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def _kept(unpacked: Path) -> Iterator[tuple[Path, str]]:
    """What of the packages' files goes where; newer suites have everything below usr/."""
    yield (unpacked / "usr/bin/python3").resolve(), "bin/python"
    for path in unpacked.glob("usr/lib/python3*"):
        yield path, f"lib/{path.name}"
    for pattern in ("lib/*-linux-*/*.so*", "usr/lib/*-linux-*/*.so*"):
        for path in unpacked.glob(pattern):
            yield path, f"native/{path.name}"


def _loader(native: Path) -> Path:
    """The dynamic loader, whose name differs from architecture to architecture (ld-linux-x86-64.so.2, ...)."""
    for path in sorted(native.glob("ld*.so.[0-9]")):
        return path
    raise ImagebuilderError("the packages for the build's own Python hold no dynamic loader (`libc6`)")


def _compile(machine: Machine, output: Path) -> None:
    # The mount is read-only: what is not compiled now would be compiled again at every start.
    # Unchecked: the compiled files hold no times, so equal packages give equal bytes. With -B: what
    # the compiler itself imports is not compiled on the side, with times.
    options = ("-q", "-j0", "--invalidation-mode=unchecked-hash", "-s", str(output), "-p", MOUNT_POINT)
    python = (str(output / "ld.so"), "--library-path", str(output / "native"), str(output / "bin/python"))
    machine.run(Command((*python, "-I", "-B", "-m", "compileall", *options, str(output / "lib"))))

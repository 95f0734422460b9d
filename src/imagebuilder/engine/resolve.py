"""From a tree's requests to exact packages on disk, before any step runs.

Everything that a mirror can refuse is refused here, all of it in one message.
"""

from __future__ import annotations

import difflib
import email.utils
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuilder import digest
from imagebuilder.errors import CommandError, Location, PackageError, SpecError
from imagebuilder.host.command import Command, run
from imagebuilder.host.files import publish_text
from imagebuilder.plan import names
from imagebuilder.plan.initrd import FIRMWARE_PACKAGES, USERLAND_PACKAGES
from imagebuilder.resolve.apt import Apt, Record
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Problem, Resolution
from imagebuilder.spec.config import BaseKeys, InitrdKeys, OverlayKeys, PackageRequest
from imagebuilder.spec.legacy.keys import base_below
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.steps.interpreter import BUNDLE_PACKAGES

_MINBASE = ("?essential", "?priority(required)", "apt")
# Without it apt takes the other way to a merged /usr, which brings 52 MB of Perl.
_MERGED_USR = "usr-is-merged"
_KERNEL = re.compile(r"linux-image-(\d[\w.+~-]*)")
_KERNEL_PARTS = re.compile(r"linux-modules-(?:extra-)?\d[\w.+~-]*")


def resolve(tree: TreeSpec, apt: Apt, epoch: int | None = None) -> Resolution:
    """Find every package of every image. Raises PackageError or SpecError, with all problems in one message."""
    _refuse_unknown(tree, apt)
    resolver = _Resolver(tree, apt)
    kernel = resolver.kernel(tree.settings.kernel_package)
    bases = _earlier_bases(tree, kernel)
    images = {image.name: resolver.image(image, bases) for image in tree.images}
    return Resolution(
        sources=apt.sources,
        kernel=kernel,
        images=images,
        python=resolver.python(),
        bases=bases,
        epoch=epoch if epoch is not None else _release_date(apt.lists),
    )


def all_debs(resolution: Resolution) -> tuple[Deb, ...]:
    """Every package file that the build will read."""
    found = {*resolution.python}
    for image in resolution.images.values():
        found |= {*image.install, *image.userland, *image.firmware}
        found |= set(image.kernel.debs) if image.kernel else set()
    return tuple(sorted(found))


def requests_of(image: ImageSpec) -> tuple[PackageRequest, ...]:
    """The packages that an image asks for by name."""
    match image.keys:
        case BaseKeys() | OverlayKeys():
            return image.keys.packages
        case InitrdKeys():
            return image.keys.include_packages
        case _:
            return ()


def kernel_of(apt: Apt, package: str) -> Kernel:
    """The kernel that `package`, a kernel or a metapackage of one, stands for. Raises PackageError."""
    name = package
    for _ in range(4):  # linux-image-amd64 -> linux-image-6.1.0-35-amd64; Ubuntu has one more between
        record = _record(apt, name)
        if match := _KERNEL.fullmatch(record.deb.name):
            parts = _KERNEL_PARTS.findall(record.field("Depends"))
            return Kernel(match.group(1), (record.deb, *(_record(apt, part).deb for part in parts)))
        found = re.search(r"linux-image-[\w.+~-]+", record.field("Depends"))
        if not found:
            break
        name = found.group()
    raise PackageError(
        f"`{package}` is not a kernel package", hint="`kernel_package` is like `linux-image-amd64`, in group_vars"
    )


def _record(apt: Apt, name: str) -> Record:
    problem = f"there is no package `{name}` at {apt.sources.mirror}"
    try:
        records = apt.records([name])
    except CommandError as error:
        raise PackageError(problem, detail=error.detail) from None
    if not records:  # a name that others provide
        raise PackageError(problem)
    return records[0]


@dataclass(frozen=True, slots=True)
class _Resolver:
    tree: TreeSpec
    apt: Apt

    def image(self, image: ImageSpec, bases: Mapping[str, Path]) -> ImagePackages:
        """What one image needs."""
        match image.keys:
            case InitrdKeys():
                wanted = [*USERLAND_PACKAGES, *map(str, image.keys.include_packages)]
                on_build_root = image.provisioner is not None and image.provisioner.on_build_root
                return ImagePackages(
                    install=self._fresh(image, [*_MINBASE, *self._wanted(image)]) if on_build_root else (),
                    userland=self._fresh(image, wanted),
                    firmware=self._firmware() if image.keys.firmware else (),
                    kernel=self.kernel(image.keys.kernel_package or self.tree.settings.kernel_package),
                )
            case BaseKeys():
                return ImagePackages(install=self._fresh(image, [*_MINBASE, *self._wanted(image)]))
            case OverlayKeys() if self._wanted(image):
                status = self._status_below(image.keys.base, bases)
                return ImagePackages(install=self._simulate(image, self._wanted(image), status))
            case _:
                return ImagePackages()

    def kernel(self, package: str) -> Kernel:
        return kernel_of(self.apt, package)

    def python(self) -> tuple[Deb, ...]:
        """The interpreter's packages, if any image has a role."""
        if not any(image.provisioner for image in self.tree.images):
            return ()
        return self.apt.simulate([*BUNDLE_PACKAGES, *self._merged_usr()])

    def _firmware(self) -> tuple[Deb, ...]:
        """The firmware packages that this suite has: their names and split change from suite to suite."""
        known = set(self.apt.names())
        present = [name for name in FIRMWARE_PACKAGES if name in known]
        return tuple(record.deb for record in self.apt.records(present))

    def _wanted(self, image: ImageSpec) -> list[str]:
        local = getattr(image.keys, "debs", ())
        return [*map(str, requests_of(image)), *(str(self.tree.root / name) for name in local)]

    def _fresh(self, image: ImageSpec, wanted: Sequence[str]) -> tuple[Deb, ...]:
        """What `wanted` comes down to in a root with nothing in it."""
        return self._simulate(image, [*wanted, *self._merged_usr()])

    def _merged_usr(self) -> list[str]:
        return [_MERGED_USR] if self.apt.versions(_MERGED_USR) else []

    def _simulate(self, image: ImageSpec, wanted: Sequence[str], status: Path | None = None) -> tuple[Deb, ...]:
        try:
            return self.apt.simulate(wanted, status)
        except CommandError as error:
            raise PackageError(
                f"{image.at('packages')}: apt cannot install what `{image.name}` asks for", detail=error.detail
            ) from None

    def _status_below(self, below: Sequence[str], bases: Mapping[str, Path]) -> Path:
        """A dpkg status file as the layers below an overlay will have it."""
        text = ""
        for name in dict.fromkeys(self._stack(below)):
            image = self._image(name)
            if image:
                text += "".join(f"{stanza}\n\n" for stanza in self._installed(image, self._status(text)))
            else:
                text += run(Command(("unsquashfs", "-cat", str(bases[name]), "var/lib/dpkg/status"))).stdout
        return self._status(text)

    def _stack(self, below: Sequence[str]) -> Iterator[str]:
        """The names of all images below an overlay, each after those that it is made on."""
        for name in below:
            image = self._image(name)
            if image and isinstance(image.keys, OverlayKeys):
                yield from self._stack(image.keys.base)
            yield name

    def _installed(self, image: ImageSpec, status: Path) -> list[str]:
        """What an image adds to dpkg's status."""
        wanted = self._wanted(image)
        if isinstance(image.keys, OverlayKeys):
            debs = self._simulate(image, wanted, status) if wanted else ()
        else:
            debs = self._fresh(image, [*_MINBASE, *wanted])
        exact = [f"{deb.name}:{deb.architecture}={deb.version}".replace(":all=", "=") for deb in debs]
        stanzas = [record.installed_status for record in self.apt.records(exact)]
        return stanzas + [_local_status(self.tree.root / deb) for deb in getattr(image.keys, "debs", ())]

    def _image(self, name: str) -> ImageSpec | None:
        return next((image for image in self.tree.images if image.name == name), None)

    def _status(self, text: str) -> Path:
        path = self.apt.folder / f"status-{digest.of_bytes(text.encode())[:16]}"
        publish_text(text, path)
        return path


def _local_status(deb: Path) -> str:
    fields = run(Command(("dpkg-deb", "--field", str(deb)))).stdout.splitlines()
    return "\n".join([fields[0], "Status: install ok installed", *fields[1:]])


def _earlier_bases(tree: TreeSpec, kernel: Kernel) -> dict[str, Path]:
    """The artifacts of earlier builds that overlays here are made on, by image name."""
    built = {image.name for image in tree.images}
    found: dict[str, Path] = {}
    for image in tree.images:
        if not isinstance(image.keys, OverlayKeys):
            continue
        for index, name in enumerate(image.keys.base):
            if name in built or name in found:
                continue
            path = tree.settings.artifact_folder / _base_artifact(tree, image, name, kernel)
            if not path.is_file():
                raise SpecError(
                    f"the base `{name}` of `{image.name}` is not in this playbook, and {path} does not exist",
                    location=image.at("base", index),
                    hint=_base_hint(name, sorted(built)),
                )
            found[name] = path
    return found


def _base_artifact(tree: TreeSpec, image: ImageSpec, base: str, kernel: Kernel) -> str:
    """The artifact of a base that is not in this playbook; an overlay may have the old variable that names it."""
    given = base_below(image.variables, Renderer(image.variables), image.document)
    return given or names.base(base, tree.settings.debootstrap_release, kernel.release)


def _base_hint(name: str, built: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, built, n=1)
    return f"did you mean `{near[0]}`?" if near else "build it first, or add its entry to the playbook"


def _refuse_unknown(tree: TreeSpec, apt: Apt) -> None:
    """One error that names every package and version that cannot be had."""
    known = frozenset(apt.names())
    problems = [*_kernel_problems(tree, known)]
    problems += [problem for image in tree.images for problem in _problems(image, apt, known)]
    if problems:
        count = "a package" if len(problems) == 1 else f"{len(problems)} packages"
        raise PackageError(
            f"{count} cannot be had from {apt.sources.mirror}:\n" + "\n".join(map(str, problems)),
            hint="nothing was built; mend the names and versions above, or take the newest versions with `--repin`",
        )


def _kernel_problems(tree: TreeSpec, known: frozenset[str]) -> Iterator[Problem]:
    """The kernels that are no package of the suite: those of other suites, or replaced by newer ones."""
    given = {tree.settings.kernel_package: Location(tree.settings_file)}
    for image in tree.images:
        if isinstance(image.keys, InitrdKeys) and image.keys.kernel_package:
            given.setdefault(image.keys.kernel_package, image.at("kernel_package"))
    for package, location in given.items():
        if package not in known:
            yield Problem(location, _unknown(package, known))


def _problems(image: ImageSpec, apt: Apt, known: frozenset[str]) -> Iterator[Problem]:
    for index, request in enumerate(requests_of(image)):
        location = image.at("include_packages" if image.kind == "initrd" else "packages", index)
        name = request.package.partition(":")[0]
        if name not in known:
            yield Problem(location, _unknown(name, known))
        elif request.version:
            versions = apt.versions(request.package)
            if not fnmatch.filter(versions, request.version):
                has = ", ".join(versions) or "none"
                yield Problem(location, f"`{name}` has no version `{request.version}`; the mirror has {has}")


def _unknown(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
    guess = f"; did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else ""
    return f"there is no package `{name}`{guess}"


def _release_date(lists: Path) -> int:
    """The newest `Date:` of the suite's signed Release files, in seconds since 1970.

    The time that artifacts carry: it changes when the packages may have, and with nothing else.
    """
    dates = []
    for path in lists.glob("*Release"):
        if match := re.search(r"^Date: (.*)$", path.read_text(errors="replace"), re.MULTILINE):
            dates.append(int(email.utils.parsedate_to_datetime(match.group(1)).timestamp()))
    return max(dates, default=0)

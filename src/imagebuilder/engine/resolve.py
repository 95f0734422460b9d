"""From a tree's requests to exact packages on disk, before any step runs.

Everything that a mirror can refuse is refused here, all of it in one message.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagebuilder import digest
from imagebuilder.errors import CommandError, Location, PackageError
from imagebuilder.host.command import Command, run
from imagebuilder.host.files import publish_text
from imagebuilder.plan.bases import earlier_bases
from imagebuilder.plan.initrd import FIRMWARE_PACKAGES
from imagebuilder.plan.requests import MINBASE, requests_of, userland_of
from imagebuilder.resolve.apt import Apt, Record
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.releases import newest, read_releases
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Problem, Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.spec.config import BaseKeys, InitrdKeys, OverlayKeys
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.steps.interpreter import BUNDLE_PACKAGES

# Without it apt takes the other way to a merged /usr, which brings 52 MB of Perl.
_MERGED_USR = "usr-is-merged"
# As apt says it: ` curl : Depends: libcurl4 (= 8.1) but 8.0 is to be installed`.
_UNMET = re.compile(r"^ ?(?P<by>\S*)(?: :)? +(?:Pre)?(?:Depends|Breaks|Conflicts): (?P<on>[^\s:]+)", re.MULTILINE)
_KERNEL = re.compile(r"linux-image-(\d[\w.+~-]*)")
_KERNEL_PARTS = re.compile(r"linux-modules-(?:extra-)?\d[\w.+~-]*")


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier resolution found and the next one is to keep.

    `images`, `kernels` (by the package that was asked for) and `python` stay as
    they are; for all else the versions of `versions`, by image and name, are
    preferred, where they are to be had and fit.
    """

    images: Mapping[str, ImagePackages] = field(default_factory=dict)
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    python: tuple[Deb, ...] = ()
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    epoch: int | None = None


def resolve(tree: TreeSpec, apt: Apt, kept: Kept | None = None) -> Resolution:
    """Find every package of every image. Raises PackageError or SpecError, with all problems in one message."""
    _refuse_unknown(tree, apt)
    kept = kept or Kept()
    resolver = _Resolver(tree, apt, kept)
    kernel = resolver.kernel(tree.settings.kernel_package)
    resolver.bases.update(earlier_bases(tree, kernel))
    return Resolution(
        published=published(tree.settings),
        kernel=kernel,
        images={image.name: resolver.image(image) for image in tree.images},
        python=resolver.python(),
        bases=resolver.bases,
        epoch=kept.epoch if kept.epoch is not None else newest(read_releases(apt.lists)),
    )


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
    kept: Kept
    bases: dict[str, Path] = field(default_factory=dict)
    done: dict[str, ImagePackages] = field(default_factory=dict)
    statuses: dict[tuple[str, ...], Path] = field(default_factory=dict)
    """By the images below, from the bottom to the top, dpkg's status; most overlays have the same below them."""

    def image(self, image: ImageSpec) -> ImagePackages:
        """What one image needs, found at first sight."""
        if image.name not in self.done:
            self.done[image.name] = self.kept.images.get(image.name) or self._image(image)
        return self.done[image.name]

    def _image(self, image: ImageSpec) -> ImagePackages:
        match image.keys:
            case InitrdKeys():
                wanted = [*userland_of(self.tree, image.keys), *map(str, image.keys.include_packages)]
                on_build_root = image.provisioner is not None and image.provisioner.on_build_root
                return ImagePackages(
                    install=self._fresh(image, [*MINBASE, *self._wanted(image)]) if on_build_root else (),
                    userland=self._fresh(image, wanted),
                    firmware=self._firmware(image) if image.keys.firmware else (),
                    kernel=self.kernel(image.keys.kernel_package or self.tree.settings.kernel_package),
                )
            case BaseKeys():
                return ImagePackages(install=self._fresh(image, [*MINBASE, *self._wanted(image)]))
            case OverlayKeys() if self._wanted(image):
                status = self._status_below(image.keys.base)
                return ImagePackages(install=self._simulate(image, self._wanted(image), status))
            case _:
                return ImagePackages()

    def kernel(self, package: str) -> Kernel:
        """The kernel that `package` stands for."""
        return self.kept.kernels.get(package) or kernel_of(self.apt, package)

    def python(self) -> tuple[Deb, ...]:
        """The interpreter's packages, if any image has a role."""
        if not any(image.provisioner for image in self.tree.images):
            return ()
        wanted = [*BUNDLE_PACKAGES, *self._merged_usr()]
        return self.kept.python or self._together(wanted, _merged(*self.kept.versions.values()))

    def _firmware(self, image: ImageSpec) -> tuple[Deb, ...]:
        """The firmware packages that this suite has: their names and split change from suite to suite."""
        known = set(self.apt.names())
        present = [name for name in FIRMWARE_PACKAGES if name in known]
        return tuple(record.deb for record in self._preferring(self._versions(image)).records(present))

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
            return self._together(wanted, self._versions(image), status)
        except CommandError as error:
            raise PackageError(
                f"{image.at('packages')}: apt cannot install what `{image.name}` asks for", detail=error.detail
            ) from None

    def _together(
        self, wanted: Sequence[str], versions: Mapping[str, str], status: Path | None = None
    ) -> tuple[Deb, ...]:
        """What apt makes of `wanted`, with as many of the preferred versions as go together."""
        try:
            return self._preferring(versions).simulate(wanted, status)
        except CommandError as error:
            at_odds = versions.keys() & _at_odds(error.detail)
            if not at_odds:
                raise
        others = {name: version for name, version in versions.items() if name not in at_odds}
        return self._together(wanted, others, status)

    def _versions(self, image: ImageSpec) -> Mapping[str, str]:
        """The versions to prefer: those that the image itself had, those below it, those of all others."""
        kept = self.kept.versions
        if not kept:
            return {}
        below = self._stack(image.keys.base) if isinstance(image.keys, OverlayKeys) else ()
        found = [{deb.name: deb.version for deb in self.done[name].install} for name in below if name in self.done]
        return _merged(*kept.values(), *found, kept.get(image.name, {}))

    def _preferring(self, versions: Mapping[str, str]) -> Apt:
        return self.apt.preferring(versions) if versions else self.apt

    def _status_below(self, below: Sequence[str]) -> Path:
        """A dpkg status file as the layers below an overlay will have it."""
        stack = tuple(dict.fromkeys(self._stack(below)))
        if stack not in self.statuses:
            self.statuses[stack] = self._status_of(stack)
        return self.statuses[stack]

    def _status_of(self, stack: Sequence[str]) -> Path:
        text = ""
        for name in stack:
            image = self._named(name)
            if image:
                text += "".join(f"{stanza}\n\n" for stanza in self._installed(image))
            else:
                text += run(Command(("unsquashfs", "-cat", str(self.bases[name]), "var/lib/dpkg/status"))).stdout
        path = self.apt.folder / f"status-{digest.of_bytes(text.encode())[:16]}"
        publish_text(text, path)
        return path

    def _stack(self, below: Sequence[str]) -> Iterator[str]:
        """The names of all images below an overlay, each after those that it is made on."""
        for name in below:
            image = self._named(name)
            if image and isinstance(image.keys, OverlayKeys):
                yield from self._stack(image.keys.base)
            yield name

    def _installed(self, image: ImageSpec) -> list[str]:
        """What an image adds to dpkg's status."""
        stanzas = [record.installed_status for record in self.apt.records([d.exact for d in self.image(image).install])]
        return stanzas + [_local_status(self.tree.root / deb) for deb in getattr(image.keys, "debs", ())]

    def _named(self, name: str) -> ImageSpec | None:
        return next((image for image in self.tree.images if image.name == name), None)


def _merged(*parts: Mapping[str, str]) -> dict[str, str]:
    """All of them in one, the last one winning."""
    return {name: version for part in parts for name, version in part.items()}


def _at_odds(said: str) -> set[str]:
    """The packages that apt cannot bring together."""
    return {name.partition(":")[0] for match in _UNMET.finditer(said) for name in match.groups()}


def _local_status(deb: Path) -> str:
    fields = run(Command(("dpkg-deb", "--field", str(deb)))).stdout.splitlines()
    return "\n".join([fields[0], "Status: install ok installed", *fields[1:]])


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
    given = {tree.settings.kernel_package: tree.settings_document.at("kernel_package")}
    for image in tree.images:
        if isinstance(image.keys, InitrdKeys) and image.keys.kernel_package:
            given.setdefault(image.keys.kernel_package, image.at("kernel_package"))
    for package, location in given.items():
        if package not in known:
            yield Problem(location, _unknown(package, known))


def _problems(image: ImageSpec, apt: Apt, known: frozenset[str]) -> Iterator[Problem]:
    for location, package, version in _asked(image):
        name = package.partition(":")[0]
        if name not in known:
            yield Problem(location, _unknown(name, known))
        elif version and not fnmatch.filter(versions := apt.versions(package), version):
            has = ", ".join(versions) or "none"
            yield Problem(location, f"`{name}` has no version `{version}`; the mirror has {has}")


def _asked(image: ImageSpec) -> Iterator[tuple[Location, str, str | None]]:
    """The packages that an image's keys and its role ask for: where, which, and the version if one is named."""
    for index, request in enumerate(requests_of(image)):
        location = image.at("include_packages" if image.kind == "initrd" else "packages", index)
        yield location, request.package, request.version
    for pin in image.provisioner.pins if image.provisioner else ():
        yield pin.location, pin.package, pin.version


def _unknown(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
    guess = f"; did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else ""
    return f"there is no package `{name}`{guess}"

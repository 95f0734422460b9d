"""The whole build, as five visible calls: refresh, resolve, plan, execute, publish."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.artifacts import show_artifacts
from imagebuilder.engine.cache import Cache
from imagebuilder.engine.execute import Execution, execute
from imagebuilder.engine.manifests import put_manifests
from imagebuilder.engine.repin import repin
from imagebuilder.engine.resolve import all_debs, resolve
from imagebuilder.engine.sbom import attach_sboms
from imagebuilder.engine.workspace import scratch, workspace
from imagebuilder.errors import Location, SpecError
from imagebuilder.events import Note, Progress, Report, StepFinished, StepStarted
from imagebuilder.host import clock
from imagebuilder.host.chroot import INSIDE
from imagebuilder.host.command import Command, run
from imagebuilder.host.kernel import is_root_of_the_machine
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.machine import Machine
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.model import Plan, PlannedStep
from imagebuilder.resolve.apt import Apt, host_date_options, host_targets
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.legacy.changes import summary
from imagebuilder.spec.tree import TreeSpec

_DEFAULT_BUILD_ROOT = Path("/run/on-imagebuilder")
_STEP = "packages"


@dataclass(frozen=True, slots=True)
class Options:
    """How to build, as opposed to what: what is kept, steps side by side, SOURCE_DATE_EPOCH if given.

    With `repin` the newest versions take the place of those that the tree names;
    `shows` is whether the artifact folder is brought up to date.
    """

    cache: Cache
    jobs: int
    epoch: int | None
    repin: bool = False
    shows: bool = True


def refuse_foreign(tree: TreeSpec) -> None:
    """Raise SpecError for an architecture whose programs this host cannot run; to be called outside a namespace."""
    wanted = tree.settings.debootstrap_arch
    native = run(Command(("dpkg", "--print-architecture"))).stdout.strip()
    interpreter = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}[wanted]
    if wanted != native and not Path("/proc/sys/fs/binfmt_misc", interpreter).exists():
        raise SpecError(
            f"`debootstrap_arch: {wanted}`: this host runs {native} programs only",
            location=Location(tree.settings_file),
            hint="build on such a machine, or `apt-get install qemu-user-static binfmt-support`",
        )


def build(tree: TreeSpec, options: Options, report: Report) -> None:
    """Build every image of the tree and publish its artifacts; to be called in a private namespace."""
    for sentence in summary(tree.changes):
        report(Note("", sentence))
    if tree.changes:
        report(Note("", "`imagebuilder migrate OLD NEW` writes a tree in today's form, and says all that it changes"))
    sources = sources_for(tree.settings, host_targets(), host_date_options())
    apt = Apt(sources, tree.settings.debootstrap_arch, options.cache.folder)
    with ExitStack() as stack:
        tree, resolution = _fetch(tree, apt, options, report, stack)
        plan = compile_plan(tree, resolution)
        stack.enter_context(options.cache.layout.used())
        options.cache.layout.prepare()
        steps = plan.to_do(lambda step: options.cache.find(step) is not None)
        if steps:
            rooms = stack.enter_context(options.cache.rooms())
            root = _build_root(tree) if is_root_of_the_machine() else rooms.blobs / "build-root"
            place = stack.enter_context(workspace(root, tree.settings.build_root_size))

            def machine_for(step: PlannedStep, heard: Report) -> Machine:
                return LocalMachine(step.name, scratch(place, step), _apt_files(apt), _environment(resolution), heard)

            execute(plan, steps, Execution(options.cache, rooms, machine_for, report, options.jobs))
        publish(plan, tree, options, report)


def publish(plan: Plan, tree: TreeSpec, options: Options, report: Report) -> None:
    """Show what a plan whose steps are all done yields: in the artifact folder, and as manifests in the store."""
    cache = options.cache
    blobs = {artifact: cache.blob(plan.step(artifact.step)) for artifact in plan.artifacts}
    manifests = put_manifests(plan, blobs, cache.layout)
    lists = {artifact.name: cache.blob(plan.step(artifact.packages)) for artifact in plan.artifacts}
    attach_sboms(cache.layout, manifests.values(), lists)
    if options.shows:
        show_artifacts(blobs, cache.layout, tree.settings.artifact_folder, report)
    for step in plan.steps:
        cache.note_latest(tree.root, step)


def _fetch(tree: TreeSpec, apt: Apt, options: Options, report: Report, stack: ExitStack) -> tuple[TreeSpec, Resolution]:
    """Exact packages, all of them on disk: nothing after this needs the network but what roles do themselves.

    The tree comes back with the versions that were taken. The indexes stay as they are until `stack` is closed.
    """
    began = clock.monotonic()
    report(StepStarted(_STEP))
    report(Progress(_STEP, f"reading the indexes of {apt.sources.mirror}"))
    stack.enter_context(apt.indexes())
    report(Progress(_STEP, "resolving"))
    if options.repin:
        tree, moves = repin(tree, apt)
        for move in moves:
            report(Note("", str(move)))
    resolution = resolve(tree, apt, options.epoch)
    debs = all_debs(resolution)
    report(Progress(_STEP, f"checking and fetching {len(debs)} packages"))
    fetched = apt.download(debs)
    report(StepFinished(_STEP, clock.monotonic() - began, fetched))
    return tree, resolution


def _build_root(tree: TreeSpec) -> Path:
    """Where the build's tmpfs goes: the tree's first build root. It is seen by this build alone."""
    roots = [tree.build_roots[kind] for kind in ("overlay", "base", "initrd") if kind in tree.build_roots]
    return roots[0] if roots else _DEFAULT_BUILD_ROOT


def _environment(resolution: Resolution) -> Mapping[str, str]:
    return {"SOURCE_DATE_EPOCH": str(resolution.epoch)}


def _apt_files(apt: Apt) -> AptFiles:
    """What roots see of apt. mmdebstrap reads `host-sources.list`: it looks keys up on the host."""
    folder = f"{INSIDE}/apt"
    host_lines = "".join(f"{line}\n" for line in apt.sources.lines)
    files = {
        "apt.conf": apt.configuration(folder=folder),
        "sources.list": host_lines.replace(apt.sources.keyring, f"{folder}/keyring.gpg"),
        "host-sources.list": host_lines,
    }
    contents = {name: text.encode() for name, text in files.items()}
    return AptFiles(apt.lists, apt.archives, {**contents, "keyring.gpg": Path(apt.sources.keyring).read_bytes()})

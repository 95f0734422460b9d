"""The whole build, as five visible calls: resolve, plan, fetch, execute, publish."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.cache import Rooms
from imagebuilder.engine.done import Options, planned, publish
from imagebuilder.engine.execute import Execution, execute
from imagebuilder.engine.failed import FailedSteps
from imagebuilder.engine.outlook import Forecast, history_of
from imagebuilder.engine.packages import Packages
from imagebuilder.engine.sign import check_clock
from imagebuilder.engine.workspace import scratch, workspace
from imagebuilder.errors import SpecError
from imagebuilder.events import Note, Report
from imagebuilder.host.chroot import INSIDE
from imagebuilder.host.command import Command, run
from imagebuilder.host.kernel import is_root_of_the_machine
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.machine import Machine
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.model import Plan, PlannedStep
from imagebuilder.resolve.apt import Apt
from imagebuilder.resolve.lock import FILE
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.spec.legacy.changes import summary
from imagebuilder.spec.tree import TreeSpec

_DEFAULT_BUILD_ROOT = Path("/run/on-imagebuilder")
_NO_LOCK = f"the tree has no {FILE}: these are the packages that the mirror has now; `imagebuilder lock` pins them"


def refuse_foreign(tree: TreeSpec) -> None:
    """Raise SpecError for an architecture whose programs this host cannot run; to be called outside a namespace."""
    wanted = tree.settings.debootstrap_arch
    native = run(Command(("dpkg", "--print-architecture"))).stdout.strip()
    interpreter = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}[wanted]
    if wanted != native and not Path("/proc/sys/fs/binfmt_misc", interpreter).exists():
        raise SpecError(
            f"`debootstrap_arch: {wanted}`: this host runs {native} programs only",
            location=tree.settings_document.at("debootstrap_arch"),
            hint="build on such a machine, or `apt-get install qemu-user-static binfmt-support`",
        )


def build(tree: TreeSpec, exact: Plan | None, options: Options, report: Report) -> None:
    """Build every image of the tree and publish its artifacts; to be called in a private namespace.

    `exact` is the plan of the tree's lock; without one, packages are resolved now.
    """
    for sentence in summary(tree.changes):
        report(Note("", sentence))
    if tree.changes:
        report(Note("", "`imagebuilder migrate OLD NEW` writes a tree in today's form, and says all that it changes"))
    with ExitStack() as stack:
        stack.enter_context(options.cache.used())
        packages = Packages(tree.settings, options.cache.folder, report, stack)
        if exact is None:
            tree, resolution = _resolved(tree, packages, options, report)
            exact = compile_plan(tree, resolution)
        plan = planned(exact, tree, options)
        check_clock(options.signer, plan)
        options.cache.layout.prepare()
        job = _Job(tree, packages, {"SOURCE_DATE_EPOCH": str(exact.epoch)}, options, report)
        job.carry_out(plan)
        # What was kept has been checked by now: what conflicts with its base is made again.
        final = planned(exact, tree, options, report) if plan.checks else plan
        if final != plan:
            job.carry_out(final)
        publish(final, tree, options, report)


@dataclass(frozen=True, slots=True)
class _Job:
    """What all steps of a build have in common."""

    tree: TreeSpec
    packages: Packages
    environment: Mapping[str, str]
    options: Options
    report: Report

    def carry_out(self, plan: Plan) -> None:
        """Fetch what the missing steps of a plan need, and run them."""
        cache = self.options.cache
        forecast = Forecast(plan, history_of(plan, self.tree.root, cache), self.options.jobs, self.report)
        forecast.begin()
        if not forecast.todo:
            return
        self.packages.fetch(sorted({deb for step in forecast.todo for deb in step.debs}))
        with cache.rooms() as rooms, workspace(self._root(rooms), self.tree.settings.build_root_size) as place:
            files = _apt_files(self.packages.apt)

            def machine_for(step: PlannedStep, heard: Report) -> Machine:
                return LocalMachine(step.name, scratch(place, step), files, self.environment, heard)

            failed = FailedSteps(cache.failed)
            failed.forget_steps(self.tree.root, [step.name for step in forecast.todo])
            keeper = failed.keeper(self.tree.root, files, self.environment) if self.options.keep_failed else None
            execute(plan, forecast.todo, Execution(cache, rooms, machine_for, forecast, self.options.jobs, keeper))

    def _root(self, rooms: Rooms) -> Path:
        return _build_root(self.tree) if is_root_of_the_machine() else rooms.blobs / "build-root"


def _resolved(tree: TreeSpec, packages: Packages, options: Options, report: Report) -> tuple[TreeSpec, Resolution]:
    """The packages that the mirror has now, and the tree with the versions that were taken."""
    from imagebuilder.engine.repin import repin
    from imagebuilder.engine.resolve import Kept

    report(Note("", _NO_LOCK))
    if options.repin:
        tree, moves = repin(tree, packages.opened())
        for move in moves:
            report(Note("", str(move)))
    return tree, packages.resolve(tree, Kept(epoch=options.epoch))


def _build_root(tree: TreeSpec) -> Path:
    """Where the build's tmpfs goes: the tree's first build root. It is seen by this build alone."""
    roots = [tree.build_roots[kind] for kind in ("overlay", "base", "initrd") if kind in tree.build_roots]
    return roots[0] if roots else _DEFAULT_BUILD_ROOT


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

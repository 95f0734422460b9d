"""A shell in what a failed step left: its layers below, its changes on top, programs and apt as in a build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagebuilder.engine.failed import FailedSteps, Failure
from imagebuilder.errors import ImagebuilderError
from imagebuilder.events import Event
from imagebuilder.host.command import Command, attach
from imagebuilder.host.local import LocalMachine
from imagebuilder.host.mounts import mounted
from imagebuilder.steps.interpreter import MOUNT_POINT

_SHELLS = ("/bin/bash", "/bin/sh")


def open_shell(failed: FailedSteps, failure: Failure, environment: Mapping[str, str]) -> int:
    """Run a shell on the terminal, to be called in a private namespace; returns its exit status.

    Changes stay in what is kept. Raises ImagebuilderError when it cannot be opened.
    """
    _refuse_gone(failure)
    try:
        root = failed.root(failure)
        with failed.open(failure), mounted("imagebuilder", root.with_name("scratch"), "tmpfs") as scratch:
            machine = LocalMachine(failure.step, scratch, failed.apt(failure), failure.environment, _unheard)
            with _merged(machine, failure, root) as view:
                bundles = [Path(bundle) for bundle in failure.inputs.get("python", ())]
                return run_shell(machine, failure.step, view, bundles, environment)
    except BlockingIOError:
        raise ImagebuilderError(f"another shell is open in the failed step `{failure.step}`") from None


@contextmanager
def _merged(machine: LocalMachine, failure: Failure, root: Path) -> Iterator[Path]:
    """The view that the step had."""
    lower = [Path(path) for path in failure.inputs.get("lower", ())]
    if not lower:  # it began with nothing
        yield root
        return
    with machine.overlay(lower, root) as merged:
        yield merged


def run_shell(
    machine: LocalMachine, name: str, view: Path, bundles: Sequence[Path], environment: Mapping[str, str]
) -> int:
    """Run a shell in the root `view`, that of `name`, with interpreters shown in it; returns its exit status."""
    shell = next((path for path in _SHELLS if (view / path.lstrip("/")).exists()), None)
    if shell is None:
        raise ImagebuilderError(
            f"`{name}` left no root filesystem in which a shell runs", hint=f"look at {view} by yourself"
        )
    with machine.chroot(view) as root:
        for bundle in bundles:
            root.bind(bundle, MOUNT_POINT)
        options = ("--norc",) if shell.endswith("bash") else ()
        return attach(Command((shell, *options), env={**root.environment, **environment}, root=root.path))


def _refuse_gone(failure: Failure) -> None:
    for paths in failure.inputs.values():
        for path in paths:
            if not Path(path).exists():
                raise ImagebuilderError(
                    f"a layer below `{failure.step}` is gone: {path}", hint="build again with `--keep-failed`"
                )


def _unheard(event: Event) -> None:
    """What programs print goes to the terminal by itself."""

"""A private place for a build: its own mount and process-id namespaces.

    imagebuilder ----fork----> first process of a new pid namespace, own mounts
      waits, handles signals      runs the build

Whatever ends the build, SIGKILL included, the kernel then takes the whole
namespace away: every process in it dies, every mount and loop device of it is
gone. There is no clean-up code that could be missed.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from imagebuilder.errors import ImagebuilderError, Interrupted, NotPermittedError
from imagebuilder.host.command import AS_ROOT, Command, replace, run
from imagebuilder.host.kernel import CloneFlag, MountFlag, die_with_parent, mount, unshare

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def become_root(verb: str) -> None:
    """Go on as root: as it is, or, started by somebody else, as root of a user namespace of its own.

    There the program is started again, with the user's subordinate ids
    (subuid(5)) for all the owners that an image has. Raises NotPermittedError
    where this machine does not let this user have such a namespace.
    """
    if os.geteuid() == 0:
        return
    try:
        run(Command((*AS_ROOT, "true")))
    except ImagebuilderError as error:
        reason = (error.detail.strip().splitlines() or [error.message])[-1]
        raise NotPermittedError(
            f"`imagebuilder {verb}` mounts overlays and runs programs in a chroot: it wants to be root, or to have "
            f"a user namespace, which cannot be had: {reason}",
            hint=f"run `sudo imagebuilder {verb} ...`; or `imagebuilder doctor` says what the namespace lacks",
        ) from None
    replace((*AS_ROOT, *sys.orig_argv))


def run_private(work: Callable[[], int], *, on_terminal: bool = False) -> int:
    """Run `work` in a private namespace and return the exit status that it returns.

    With `on_terminal` the terminal is the work's: its Ctrl-C is no end of ours.
    Raises Interrupted when a signal stops it, ImagebuilderError when it is killed.
    """
    # Whoever dies first, the other hears of it: the pipe's end closes with the parent.
    alive, parent_end = os.pipe()
    unshare(CloneFlag.NEWPID)
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that comes now waits until somebody knows what to do with it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    child = os.fork()
    if child == 0:
        os.close(parent_end)
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _work_in_private(work, alive, on_terminal=on_terminal)
    os.close(alive)
    return _await(child, mask, _STOPPING[1:] if on_terminal else _STOPPING)


def _become_private(alive: int, *, on_terminal: bool) -> None:
    """In the child: die with the parent, leave the terminal's process group if it is not ours, have our own mounts."""
    die_with_parent(signal.SIGKILL)
    os.set_blocking(alive, False)
    try:
        parent_is_gone = os.read(alive, 1) == b""
    except BlockingIOError:
        parent_is_gone = False
    if parent_is_gone:
        os._exit(1)
    os.close(alive)
    if not on_terminal:
        os.setsid()
    os.umask(0o022)
    unshare(CloneFlag.NEWNS)
    mount("none", "/", flags=MountFlag.REC | MountFlag.PRIVATE)
    mount("proc", "/proc", "proc", MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC)


def _work_in_private(work: Callable[[], int], alive: int, *, on_terminal: bool) -> NoReturn:
    """The child's whole life: nothing may return into the parent's code."""
    status = 1
    try:
        _become_private(alive, on_terminal=on_terminal)
        status = work()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _await(child: int, mask: Iterable[int], stopping: Iterable[signal.Signals]) -> int:
    """Wait for the child, with `mask` as the signals held back; one of `stopping` is the child's end."""
    stopped_by: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped_by.append(number)
        with suppress(ProcessLookupError):  # it may be gone already
            os.kill(child, signal.SIGKILL)

    before = {number: signal.signal(number, stop if number in stopping else signal.SIG_IGN) for number in _STOPPING}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped_by:
        raise Interrupted(f"stopped by {signal.Signals(stopped_by[0]).name}; nothing is left behind")
    if os.WIFSIGNALED(status):
        raise ImagebuilderError(
            f"the build was killed by {signal.Signals(os.WTERMSIG(status)).name}",
            hint="`dmesg` says whether the machine ran out of memory",
        )
    return os.WEXITSTATUS(status)

"""`imagebuilder boot`: starts what was built in a virtual machine, as a test or to look around."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.chosen import add_artifact_arguments, chosen_artifacts
from imagebuilder.errors import BootError
from imagebuilder.events import Note

if TYPE_CHECKING:
    from imagebuilder.boot.phases import PhaseReached
    from imagebuilder.boot.session import Boot, Outcome

_EPILOG = """\
examples:
  imagebuilder boot --overlay discovery              boots ./builds; done when the node has run a task
  imagebuilder boot --command 'lshw -json' >node.json
  imagebuilder boot --pxe --uefi                     UEFI, iPXE, kernel over HTTP
  imagebuilder boot --shell                          a root shell on the node's console

The node runs COMMAND as its server's task and posts the result; what COMMAND printed goes to
standard output. KVM is used if it starts a guest, else QEMU emulates.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "boot",
        help="boot what was built in a virtual machine",
        description="Boot what was built in a virtual machine, until it has run a command as its server's task.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_artifact_arguments(parser)
    parser.add_argument("--pxe", action="store_true", help="boot from the network card: DHCP, TFTP, iPXE, HTTP")
    parser.add_argument("--uefi", action="store_true", help="UEFI firmware instead of a BIOS")
    parser.add_argument("--memory", type=int, default=512, metavar="MB", help="RAM of the node (default: 512)")
    parser.add_argument("--accel", choices=("kvm", "tcg"), help="do not try, take this accelerator")
    parser.add_argument("--append", default="", metavar="ARGUMENTS", help="more kernel arguments")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--command", default="uname -a", help="the task (default: uname -a)")
    what.add_argument("--shell", action="store_true", help="this terminal becomes the console; Ctrl-A X ends the node")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for all of it (default: 600)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep the console here (default: a temporary file)")
    parser.add_argument("--json", action="store_true", help="phases and result as JSON on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Boot; 0 only when the node ran the task, the task succeeded and its result arrived."""
    from imagebuilder.boot.session import boot, interact
    from imagebuilder.host import tools

    request = _request(arguments)
    unused = ({"ovmf"} if not arguments.uefi else set()) | ({"ipxe", "ipxe-qemu"} if not arguments.pxe else set())
    tools.require(tool for tool in tools.needed_by("boot") if tool.package not in unused)
    if arguments.shell:
        _say("Ctrl-A X ends the node, Ctrl-A H shows more")
        return interact(request)
    _say(f"{request.artifacts.kernel}, {request.artifacts.base}; console: {request.log}")
    outcome = boot(request, _print_progress)
    return _conclude(request, outcome, as_json=arguments.json)


def _request(arguments: argparse.Namespace) -> Boot:
    from imagebuilder.boot.session import Boot, Machine

    return Boot(
        artifacts=chosen_artifacts(arguments),
        log=arguments.log.absolute() if arguments.log else _temporary_log(),
        machine=Machine(memory_mb=arguments.memory, uefi=arguments.uefi, accelerator=arguments.accel),
        pxe=arguments.pxe,
        arguments=arguments.append,
        command=arguments.command,
        timeout=arguments.timeout,
    )


def _conclude(request: Boot, outcome: Outcome, *, as_json: bool) -> int:
    from imagebuilder.boot.session import failure

    if as_json:
        values = {**dataclasses.asdict(outcome), "from_kernel": outcome.from_kernel, "log": str(request.log)}
        print(json.dumps(values))
    else:
        sys.stdout.write(str(outcome.task.get("stdout", "")))
    hung = f", after {outcome.hung_starts} starts that hung before /init" if outcome.hung_starts else ""
    _say(f"kernel start to result: {outcome.from_kernel:.1f} s ({outcome.accelerator}){hung}")
    if how := failure(outcome.task):
        raise BootError(f"the node ran `{request.command}`: {how}", detail=str(outcome.task.get("stderr", "")))
    return 0


def _print_progress(event: PhaseReached | Note) -> None:
    match event:
        case Note():
            _say(f"note: {event.message}")
        case _:
            _say(f"{event.seconds:6.1f} s  {event.name:<8} {event.detail}".rstrip())


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="imagebuilder-boot-", suffix=".log")
    os.close(handle)
    return Path(name)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""One boot: a guest, the server it talks to, and a watch on how far it comes."""

from __future__ import annotations

import queue
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from imagebuilder.boot import peer
from imagebuilder.boot.arguments import Arguments
from imagebuilder.boot.artifacts import Artifacts
from imagebuilder.boot.console import Console, Failed, Said
from imagebuilder.boot.phases import BEFORE_INIT, START, PhaseReached, patience
from imagebuilder.errors import BootError, MissingToolError
from imagebuilder.events import Note
from imagebuilder.host import clock, probe, qemu

MAC = "52:54:00:00:00:01"
_HERE = Path(__file__).parent
_SHELL = "shell-on-console.sh"
_NOTHING = "imagebuilder-boot"
_FIRMWARE = tuple(Path("/usr/share/OVMF") / name for name in ("OVMF_{}_4M.fd", "OVMF_{}.fd"))
_STARTS = 3
_TICK = 0.1  # seconds; how late a phase seen at the server may be noticed

Report = Callable[[PhaseReached | Note], None]


@dataclass(frozen=True, slots=True)
class Machine:
    """The virtual hardware; `nics` lists the card to boot from first, `accelerator` None tries KVM, then emulates."""

    memory_mb: int = 512
    nics: tuple[qemu.Nic, ...] = (qemu.Nic(MAC),)
    uefi: bool = False
    accelerator: str | None = None
    disk: Path | None = None


@dataclass(frozen=True, slots=True)
class Boot:
    """What to boot and how: `pxe` from the network card, else the kernel directly; at most `timeout` seconds."""

    artifacts: Artifacts
    log: Path
    machine: Machine = Machine()
    pxe: bool = False
    arguments: str = ""
    command: str = "uname -a"
    timeout: float = 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """A boot that went well: the phases of the last start, what the task said, how many starts hung before."""

    phases: tuple[PhaseReached, ...]
    task: Mapping[str, Any]
    accelerator: str
    hung_starts: int

    @property
    def from_kernel(self) -> float:
        """Seconds from the kernel's start to the result."""
        kernel = next((phase.seconds for phase in self.phases if phase.name == "kernel"), 0.0)
        return self.phases[-1].seconds - kernel


def failure(task: Mapping[str, Any]) -> str:
    """How a task that came back ended, in words; "" if it ended well."""
    match task.get("error"):
        case None:
            return ""
        case {"signal": str(signal)}:
            return signal
        case {"code": code}:
            return f"exit status {code}"
        case other:
            return str(other)


class _HungEarly(BootError):
    """Nothing of ours ran yet."""


def boot(request: Boot, report: Report) -> Outcome:
    """Boot until the node has posted the result of its task. Raises BootError that says how far it came."""
    accelerator = choose_accelerator(request.machine)
    end = clock.monotonic() + request.timeout
    for hung in range(_STARTS):
        try:
            watch = _Watch(request, report, end)
            task = _attempt(request, accelerator, watch)
            return Outcome(tuple(watch.phases), task, accelerator, hung)
        except _HungEarly as error:
            if hung == _STARTS - 1 or clock.monotonic() >= end:
                raise
            report(Note("", f"{error.message}; started again"))
    raise AssertionError("unreachable")


def interact(request: Boot) -> int:
    """Boot with the terminal as the node's console and a root shell on it; returns QEMU's exit status."""
    with _guest(request, choose_accelerator(request.machine), lambda _: None, interactive=True) as running:
        return running.wait()


def choose_accelerator(machine: Machine) -> str:
    """The one asked for; else `kvm` if it starts a guest, else `tcg`."""
    if machine.accelerator:
        return machine.accelerator
    try:
        probe.guest("kvm")
    except BootError:
        return "tcg"
    return "kvm"


def _attempt(request: Boot, accelerator: str, watch: _Watch) -> Mapping[str, Any]:
    events: queue.SimpleQueue[peer.PeerEvent] = queue.SimpleQueue()
    with _guest(request, accelerator, events.put) as running:
        while True:
            piece = running.read(_TICK)
            if piece:
                watch.console(piece)
            while not events.empty():
                if (task := watch.peer(events.get())) is not None:
                    return task
            if piece == b"":
                raise watch.ended(running.stop())
            watch.check()


class _Watch:
    """How far one start came, and when it is too late for the next phase."""

    def __init__(self, request: Boot, report: Report, end: float) -> None:
        self.phases: list[PhaseReached] = []
        self._request = request
        self._report = report
        self._end = end
        self._start = self._since = clock.monotonic()
        self._console = Console()

    @property
    def _reached(self) -> str:
        return self.phases[-1].name if self.phases else START

    def console(self, piece: bytes) -> None:
        for event in self._console.feed(piece):
            match event:
                case Said(name, detail):
                    self._reach(name, detail)
                case Failed(code, detail):
                    raise self._error(f"the node gave up in phase `{self._reached}`: {code}: {detail}")

    def peer(self, event: peer.PeerEvent) -> Mapping[str, Any] | None:
        """The task with its result, when it has come."""
        match event:
            case peer.AgentSeen(mac):
                self._reach("agent", mac)
            case peer.TaskGiven():
                self._reach("task", textwrap.shorten(self._request.command, 60))
            case peer.ResultPosted(tasks):
                self._reach("result", failure(tasks[-1]) or "done")
                return tasks[-1]
        return None

    def check(self) -> None:
        """Raise the error if the node is late."""
        now = clock.monotonic()
        waited = now - self._since
        if waited > patience(self._reached, for_task=self._request.timeout):
            kind = _HungEarly if self._reached in BEFORE_INIT else BootError
            raise self._error(f"the node hung in phase `{self._reached}` for {waited:.0f} s", kind)
        if now > self._end:
            raise self._error(
                f"the node came no further than phase `{self._reached}` in {self._request.timeout:.0f} s (--timeout)"
            )

    def ended(self, complaint: str) -> BootError:
        """The error for a guest that is gone: QEMU refused it, or the node restarted or powered off."""
        if complaint and not self.phases:
            return BootError(f"QEMU does not start the guest: {complaint}")
        return self._error(f"the node restarted or powered off in phase `{self._reached}`")

    def _reach(self, name: str, detail: str) -> None:
        self._since = clock.monotonic()
        self.phases.append(PhaseReached(name, self._since - self._start, detail))
        self._report(self.phases[-1])

    def _error(self, message: str, kind: type[BootError] = BootError) -> BootError:
        return kind(message, hint=f"the whole console is in `{self._request.log}`", detail=self._console.tail)


@contextmanager
def _guest(
    request: Boot, accelerator: str, notify: Callable[[peer.PeerEvent], None], *, interactive: bool = False
) -> Iterator[qemu.RunningGuest]:
    """A running guest with its server; both are gone after the block."""
    with tempfile.TemporaryDirectory(prefix="imagebuilder-boot-") as name:
        scratch = Path(name)
        with peer.serve(lambda port: _content(request, port, interactive=interactive), notify) as port:
            guest = qemu.Guest(
                start=_start(request, port, scratch, interactive=interactive),
                nics=request.machine.nics,
                serial_log=request.log,
                memory_mb=request.machine.memory_mb,
                accelerator=accelerator,
                uefi=_uefi(scratch) if request.machine.uefi else None,
                interactive=interactive,
                disk=request.machine.disk,
            )
            with qemu.running(guest) as running:
                yield running


def _content(request: Boot, port: int, *, interactive: bool) -> peer.Content:
    # A task that fails carries its words only if it had a download: so each has one.
    name, document = (_SHELL, (_HERE / _SHELL).read_bytes()) if interactive else (_NOTHING, b"")
    command = f"./{_SHELL}" if interactive else request.command
    return peer.Content(
        folder=request.artifacts.folder,
        documents={f"/{name}": document},
        macs=frozenset(nic.mac for nic in request.machine.nics),
        tasks=({"cmd": command, "downloadUrl": f"http://{qemu.HOST_ADDRESS}:{port}/{name}"},),
    )


def _start(request: Boot, port: int, scratch: Path, *, interactive: bool) -> qemu.DirectKernel | qemu.NetworkBoot:
    artifacts, server = request.artifacts, f"{qemu.HOST_ADDRESS}:{port}"
    more = f"{'nb.onfail=shell ' if interactive else ''}{request.arguments}"
    command_line = Arguments(server, request.machine.nics[0].mac, more).command_line(artifacts)
    if not request.pxe:
        kernel, initrd = (artifacts.folder / name for name in (artifacts.kernel, artifacts.initrd))
        return qemu.DirectKernel(kernel, initrd, command_line)
    script = Template((_HERE / "boot.ipxe").read_text(encoding="utf-8")).substitute(
        server=server, kernel=artifacts.kernel, initrd=artifacts.initrd, arguments=command_line
    )
    (scratch / "boot.ipxe").write_text(script, encoding="utf-8")
    return qemu.NetworkBoot(scratch, "boot.ipxe")


def _uefi(scratch: Path) -> qemu.Uefi:
    for template in _FIRMWARE:
        code, variables = (Path(str(template).format(kind)) for kind in ("CODE", "VARS"))
        if code.exists() and variables.exists():
            return qemu.Uefi(code, Path(shutil.copyfile(variables, scratch / "variables.fd")))
    raise MissingToolError("there is no UEFI firmware for QEMU on this machine", hint="apt-get install ovmf")

"""Every error that a user can meet, in one tree.

    ImagebuilderError            exit 1   something failed
    |-- UserError                exit 2   the input is wrong; nothing was built
    |   |-- SpecError                     ... at a file and line of the image tree
    |   |-- UnknownError                  ... a node, a task, an image that is not there
    |   |-- ForbiddenError                ... what a rule of the site does not allow
    |   |-- PackageError                  ... a package, a version or a mirror that cannot be had
    |   `-- NotPermittedError             ... root is needed
    |-- MissingToolError         exit 1   a program that the host lacks
    |-- CommandError             exit 1   a program that ran and failed
    |-- StepError                as cause a build step that failed (wraps the cause)
    |-- UnreachableError         exit 1   a server that does not answer (now)
    |-- RegistryError            exit 1   a registry that is not there, refuses, or serves wrong bytes
    |-- BootError                exit 1   a node that did not come up
    `-- Interrupted              exit 130 the user said stop

Libraries raise them, `cli.main` renders them once: the message says what and
which (names in backticks), the hint says the way out.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the image tree; `line` counts from 1, 0 means the whole file."""

    file: Path
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else str(self.file)


class ImagebuilderError(Exception):
    """Something failed. `hint` is the way out, `detail` is output worth reading (may be many lines)."""

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    @classmethod
    def of(cls, error: OSError) -> ImagebuilderError:
        """What the kernel refused, with the file that it was about."""
        return cls(f"{error.strerror or error} ({error.filename})" if error.filename else str(error))


class UserError(ImagebuilderError):
    """What the user gave is wrong; nothing was built."""

    exit_code: int = 2


class SpecError(UserError):
    """The image tree says something impossible at `location`."""

    def __init__(self, message: str, *, location: Location, hint: str | None = None) -> None:
        super().__init__(f"{location}: {message}", hint=hint)
        self.location = location


class UnknownError(UserError):
    """What the user names is not there."""


class ForbiddenError(UserError):
    """What the site's own rules do not allow."""


class PackageError(UserError):
    """A package, version, signature or mirror that cannot be had."""


class NotPermittedError(UserError):
    """The verb needs root."""


class MissingToolError(ImagebuilderError):
    """A program that this verb needs is not on the host."""


class CommandError(ImagebuilderError):
    """A program that ran and failed; the message can be pasted into a shell."""

    def __init__(self, argv: Sequence[str], status: int, output: str, *, hint: str | None = None) -> None:
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        super().__init__(f"`{shlex.join(argv)}` failed ({how})", hint=hint, detail=output)
        self.argv = tuple(argv)
        self.status = status


class StepError(ImagebuilderError):
    """The build step `step` failed; `cause` says why."""

    def __init__(self, step: str, cause: ImagebuilderError) -> None:
        super().__init__(f"{step}: {cause.message}", hint=cause.hint, detail=cause.detail)
        self.step = step
        self.cause = cause
        self.exit_code = cause.exit_code


class UnreachableError(ImagebuilderError):
    """A server that does not answer; it may do so later."""


class RegistryError(ImagebuilderError):
    """A registry that cannot be reached, refuses (`status` is its HTTP status, else 0), or serves wrong bytes."""

    def __init__(self, message: str, *, hint: str | None = None, status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class BootError(ImagebuilderError):
    """A node did not come up."""


class Interrupted(ImagebuilderError):
    """SIGINT or SIGTERM."""

    exit_code: int = 130

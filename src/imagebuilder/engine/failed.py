"""What failed steps left, kept by `build --keep-failed` for `imagebuilder shell --failed`.

    CACHE/failed/ID/failure.json    a `Failure`; ID is the beginning of the step's id
    CACHE/failed/ID/root/           the folder that the step had begun to fill: for most the upperdir of a mount
    CACHE/failed/ID/apt/            the small files that roots are shown of apt
    CACHE/failed/ID/scratch/        where a shell mounts what it needs
    CACHE/failed/ID/lock            held by a shell that is open in it

A failure is kept until its step is to be built again, or is forgotten.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.execute import Attempt
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.host import files
from imagebuilder.host.local import AptFiles

_ID_LENGTH = 16
_RECORD = "failure.json"


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed: of which image tree, what it said at last, and what a shell in it needs.

    `inputs` are the paths of the folders that it read, by role, bottom first;
    `lists` and `archives` are apt's; `environment` is that of programs in a build.
    """

    id: str
    step: str
    tree: str
    message: str
    output: tuple[str, ...]
    inputs: Mapping[str, Sequence[str]]
    lists: str
    archives: str
    environment: Mapping[str, str]


class FailedSteps:
    """The failures kept in `folder`, the last one at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def root(self, failure: Failure) -> Path:
        """What the step left."""
        return self._place(failure.id) / "root"

    def apt(self, failure: Failure) -> AptFiles:
        """What roots are shown of apt."""
        small = {path.name: path.read_bytes() for path in (self._place(failure.id) / "apt").iterdir()}
        return AptFiles(Path(failure.lists), Path(failure.archives), small)

    def keep(self, failure: Failure, left: Path, apt: AptFiles) -> None:
        """Take over `left`, the folder that the step had begun to fill; it is on the same file system."""
        place = self._place(failure.id)
        files.remove_tree(place)
        (place / "apt").mkdir(parents=True)
        for name, content in apt.files.items():
            (place / "apt" / name).write_bytes(content)
        os.rename(left, place / "root")
        files.publish_text(json.dumps(dataclasses.asdict(failure)), place / _RECORD)

    def all(self) -> list[Failure]:
        """Every failure, in the order in which they were kept."""
        paths = sorted(self._folder.glob(f"*/{_RECORD}"), key=lambda path: path.stat().st_mtime)
        return [Failure(**json.loads(path.read_text())) for path in paths]

    def find(self, step: str) -> Failure:
        """The last failure of a step by its name, or of any for "". Raises UserError when there is none."""
        kept = self.all()
        found = [failure for failure in kept if step in ("", failure.step)]
        if found:
            return found[-1]
        if kept:
            names = ", ".join(f"`{failure.step}`" for failure in kept)
            raise UserError(f"no failure of a step `{step}` is kept", hint=f"kept are those of {names}")
        raise UserError(
            f"no failed step is kept in {self._folder}",
            hint="`imagebuilder build --keep-failed` keeps what a failing step leaves, in the cache of the build",
        )

    def open(self, failure: Failure) -> AbstractContextManager[None]:
        """Nobody removes the failure during the block. Raises BlockingIOError when somebody is in there."""
        return files.locked(self._place(failure.id) / "lock", wait=False)

    def forget(self, failure: Failure) -> None:
        """Remove it. Raises ImagebuilderError when a shell is open in it."""
        try:
            with self.open(failure):
                files.remove_tree(self._place(failure.id))
        except BlockingIOError:
            raise ImagebuilderError(f"a shell is open in the failed step `{failure.step}`") from None

    def forget_steps(self, tree: Path, names: Sequence[str]) -> None:
        """Remove the failures of steps of a tree that are to be built again, but not from under an open shell."""
        for failure in self.all():
            if failure.tree == str(tree) and failure.step in names:
                with suppress(ImagebuilderError):
                    self.forget(failure)

    def keeper(self, tree: Path, apt: AptFiles, environment: Mapping[str, str]) -> Callable[[Attempt], None]:
        """Keeps what fails in a build of `tree`, whose steps have this of apt and this environment."""

        def keep(attempt: Attempt) -> None:
            inputs = {role: tuple(map(str, paths)) for role, paths in attempt.inputs.items()}
            failure = Failure(
                id=attempt.step.id,
                step=attempt.step.name,
                tree=str(tree),
                message=attempt.error.message,
                output=attempt.said,
                inputs=inputs,
                lists=str(apt.lists),
                archives=str(apt.archives),
                environment=dict(environment),
            )
            self.keep(failure, attempt.output, apt)

        return keep

    def _place(self, step_id: str) -> Path:
        return self._folder / step_id[:_ID_LENGTH]

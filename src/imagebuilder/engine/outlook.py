"""What a cache tells of the steps of a plan, before a build and while it runs."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from imagebuilder.engine.cache import Cache
from imagebuilder.events import Event, Outlook, Planned, Report, StepFinished, StepKept, StepStarted
from imagebuilder.host import clock
from imagebuilder.plan.estimate import makespan
from imagebuilder.plan.history import History, Past, expected
from imagebuilder.plan.model import Plan


def history_of(plan: Plan, tree: Path, cache: Cache) -> History:
    """The records of the plan's steps, and of those that were last done for the image tree under the same names."""
    kept = {step.id: record for step in plan.steps if (record := cache.find(step))}
    last: dict[str, Past] = {}
    for step in plan.steps:
        if step_id := cache.latest(tree, step.name):
            last[step.name] = Past(step_id, kept.get(step_id) or cache.recall(step_id))
    return History(kept, last)


class Forecast:
    """Passes events on, and tells after each step that begins or ends how much is left of the build."""

    def __init__(self, plan: Plan, history: History, jobs: int, report: Report) -> None:
        self.todo = plan.to_do(lambda step: step.id in history.kept)
        """The steps that run."""
        self._plan = plan
        self._history = history
        self._jobs = jobs
        self._report = report
        self._left = {step.name: step for step in self.todo}
        self._seconds = expected(self.todo, history)
        self._began: dict[str, float] = {}
        self._lock = Lock()

    def begin(self) -> None:
        """Tell which steps need not run, and how long the others will take."""
        for step in self._plan.steps:
            if step.name not in self._left and (record := self._history.kept.get(step.id)):
                self._report(StepKept(step.name, record.size))
        self._report(Planned("", *self._count(), *self._rest()))

    def __call__(self, event: Event) -> None:
        self._report(event)
        with self._lock:
            match event:
                case StepStarted() if event.step in self._left:
                    self._began[event.step] = clock.monotonic()
                case StepFinished() if event.step in self._left:
                    del self._left[event.step]
                case _:
                    return
            outlook = Outlook("", *self._count(), *self._rest())
        self._report(outlook)

    def _count(self) -> tuple[int, int]:
        """All steps, and those of them that are done."""
        return len(self._plan.steps), len(self._plan.steps) - len(self._left)

    def _rest(self) -> tuple[float, bool]:
        """About how many seconds are left, and whether each step that is left is known."""
        now, steps = clock.monotonic(), tuple(self._left.values())
        running = {step.id: now - self._began[step.name] for step in steps if step.name in self._began}
        seconds = {i: max(0.0, whole - running.get(i, 0.0)) for i, whole in self._seconds.items()}
        return makespan(steps, seconds, self._jobs, running), all(step.id in self._seconds for step in steps)

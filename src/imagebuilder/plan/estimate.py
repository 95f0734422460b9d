"""How long the steps of a plan will take together, from how long each took before. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence

from imagebuilder.plan.model import PlannedStep


def makespan(
    steps: Sequence[PlannedStep], seconds: Mapping[str, float], jobs: int, running: Collection[str] = ()
) -> float:
    """Seconds until all of `steps` are done, `jobs` side by side, each started as `engine.execute` would.

    `seconds` by step id is what each takes, for those in `running` what they
    still take; 0 where it is not known. What steps read besides is there.
    """
    missing = {step.id for step in steps}
    waiting = [step for step in steps if step.id not in running]
    ends = [(seconds.get(step.id, 0.0), step.id) for step in steps if step.id in running]
    heapq.heapify(ends)
    now = 0.0
    while ends or waiting:
        ready = [step for step in waiting if not step.needs & missing]
        for step in ready[: max(0, jobs - len(ends))]:
            waiting.remove(step)
            heapq.heappush(ends, (now + seconds.get(step.id, 0.0), step.id))
        now, ended = heapq.heappop(ends)
        missing.discard(ended)
    return now

"""How long the steps of a plan will take together, from how long each took before. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from imagebuilder.plan.model import PlannedStep


def makespan(
    steps: Sequence[PlannedStep], seconds: Mapping[str, float], jobs: int, running: Collection[str] = ()
) -> float:
    """Seconds until all of `steps` are done, `jobs` side by side, each started as `engine.execute` would.

    `seconds` by step id is what each takes, for those in `running` what they
    still take; 0 where it is not known. What steps read besides is there.
    """
    place = {step.id: number for number, step in enumerate(steps)}
    blocked: dict[str, int] = {}
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for step in steps:
        needs = step.needs & place.keys()
        blocked[step.id] = len(needs)
        for need in needs:
            followers[need].append(step.id)
    ends = [(seconds.get(step.id, 0.0), step.id) for step in steps if step.id in running]
    heapq.heapify(ends)
    # By their places, of which a sorted list is a heap already.
    ready = [place[step.id] for step in steps if not blocked[step.id] and step.id not in running]
    now = 0.0
    while ends or ready:
        while ready and len(ends) < jobs:
            started = steps[heapq.heappop(ready)].id
            heapq.heappush(ends, (now + seconds.get(started, 0.0), started))
        now, ended = heapq.heappop(ends)
        for follower in followers[ended]:
            blocked[follower] -= 1
            if not blocked[follower]:
                heapq.heappush(ready, place[follower])
    return now

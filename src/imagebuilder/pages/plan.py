"""The page of a plan: its steps as a graph, and a table that says why each one runs."""

from __future__ import annotations

from dataclasses import dataclass

from imagebuilder.console import size_text
from imagebuilder.pages.layered import HEIGHT, draw
from imagebuilder.pages.render import LETTER, render
from imagebuilder.plan.explain import PlanOutlook, StepOutlook

_MARGINS = 20


@dataclass(frozen=True, slots=True)
class _Box:
    name: str
    state: str
    note: str
    time: str
    size: str
    reasons: list[str]
    x: int
    y: int


def plan_page(outlook: PlanOutlook, title: str, summary: str) -> str:
    """The HTML."""
    names = {step.step.id: step.step.name for step in outlook.steps}
    longest = max((len(text) for step in outlook.steps for text in (step.step.name, _note(step))), default=0)
    width = round(longest * LETTER) + _MARGINS
    drawing = draw({step.step.id: [i for i in names if i in step.step.needs] for step in outlook.steps}, width)
    boxes = [
        _Box(
            step.step.name,
            step.state,
            _note(step),
            _time(step),
            _size(step),
            list(step.reasons),
            *drawing.corners[step.step.id],
        )
        for step in outlook.steps
    ]
    return render(
        "plan.html.j2",
        title=title,
        summary=summary,
        drawing=drawing,
        boxes=boxes,
        box_width=width,
        box_height=HEIGHT,
    )


def _note(step: StepOutlook) -> str:
    return " · ".join(filter(None, (str(step.state), _time(step), _size(step))))


def _time(step: StepOutlook) -> str:
    return "" if step.seconds is None else f"{step.seconds:.1f} s"


def _size(step: StepOutlook) -> str:
    return "" if step.size is None else size_text(step.size)

"""What is remembered of a step that was done: what it was, what came out, how long it took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """A finished step.

    `name` was shown for it (`base: bootstrap`); `step` is its identity as JSON
    and `inputs` the ids of the steps it read, by role. `sha256` names the blob
    that it made, "" for a folder; `size` is in bytes. It took `seconds`;
    `parts` are what took them, as far as the step told (Ansible's tasks).
    """

    name: str
    step: Mapping[str, Any]
    inputs: Mapping[str, Sequence[str]]
    sha256: str
    size: int
    seconds: float
    parts: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> str:
        """As it is kept."""
        value = {
            "name": self.name,
            "step": dict(self.step),
            "inputs": {role: list(ids) for role, ids in self.inputs.items()},
            "sha256": self.sha256,
            "size": self.size,
            "seconds": round(self.seconds, 3),
            "parts": [[name, round(seconds, 3)] for name, seconds in self.parts],
        }
        return json.dumps(value, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("a record is a JSON object")
        parts = tuple((str(name), float(seconds)) for name, seconds in value.pop("parts"))
        return cls(**value, parts=parts)

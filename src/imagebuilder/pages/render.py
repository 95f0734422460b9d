"""From a template beside this file to a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

LETTER = 7.3
"""Pixels that a letter in a drawing takes (style.css: 12 px, of one width)."""


def render(template: str, **values: Any) -> str:
    """The page that `template` (a file name here) makes of `values`; texts are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)

"""nginx in front of the server, for those who run one: it sends the blobs, the server answers the rest."""

from __future__ import annotations

from pathlib import Path
from string import Template

from imagebuilder.store.layout import Layout

_TEMPLATE = Path(__file__).parent / "templates/nginx.conf"


def configuration(layout: Layout, upstream: str, port: int) -> str:
    """What nginx includes to listen on `port` in front of the server at `upstream` (HOST:PORT)."""
    values = {"folder": str(layout.blobs), "upstream": upstream, "port": str(port)}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(values)

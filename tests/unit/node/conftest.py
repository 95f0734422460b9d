"""The agent as it stands in the image, run here against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node_agent import Agent
from rackhd import TaskServer, task_server


@pytest.fixture
def server() -> Iterator[TaskServer]:
    with task_server() as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, server: TaskServer) -> Iterator[Agent]:
    running = Agent(tmp_path)
    running.boot_with(f"API_CB={server.authority} BOOTIF=01-52-54-00-12-34-56")
    yield running
    running.stop()

"""`imagebuilder plan` on a tree with a lock: no root, no network, and the same answer in four forms."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from image_tree import BASE, OVERLAY, read_tree
from imagebuilder.cli.main import main
from imagebuilder.engine.cache import Cache
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.lock import lock_of
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.lock import FILE, text_of
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.steps.base import identity
from imagebuilder.store.record import Record

FILES = {
    "all.yml": BASE + OVERLAY,
    "vars/base.yml": "image: {agent: false}",
    "vars/x.yml": "image: {packages: [less], run: ['echo {{ what }}', 'true']}",
    "group_vars/on_imagebuild": "what: one",
}
DONE = 2.5


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Of the verb, for a tree with a lock of which everything was done, each step in so many seconds."""
    tree = read_tree(tmp_path / "tree", FILES)
    deb = Deb("less", "590", "amd64", 1, "0" * 64)
    images = {image.name: ImagePackages((deb,)) for image in tree.images}
    resolution = Resolution(published(tree.settings), Kernel("6.1.0-35-amd64", (deb,)), images, (), {}, 5)
    (tree.root / FILE).write_text(text_of(lock_of(tree, resolution, {})))
    cache = Cache(tmp_path / "cache")
    cache.layout.prepare()
    with cache.rooms() as rooms:
        for step in compile_plan(tree, resolution).steps:
            blob = cache.layout.put(step.name.encode())
            record = Record(step.name, identity(step.step), step.inputs, blob.sha256, 2_000_000, DONE)
            if step.step.makes_folder:
                cache.trees.keep(cache.begin(rooms, step), step.id, record)
            else:
                cache.actions.keep(step.id, record)
            cache.note_latest(tree.root, step)
    return ["plan", str(tree.root), "--cache", str(cache.folder), "--jobs", "1"]


def test_nothing_to_do_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[0].split() == ["base:", "bootstrap", "kept", "2.0", "MB"]
    assert said.out.splitlines()[-1].startswith("nothing to do: all ")


def test_each_step_that_runs_is_shown_with_its_reasons(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-e", "what=two"]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = [line.split() for line in lines[:-2] if not line.startswith(" ")]
    start = lines.index(next(line for line in lines if line.startswith("x: provision ")))
    assert lines[start].split() == ["x:", "provision", "runs", "2.5", "s", "2.0", "MB"]
    assert lines[start + 1] == "    run > commands: `echo one` -> `echo two`"
    assert "    its input `x: provision` runs" in lines[start + 2 :]
    running = sum("runs" in step for step in steps)
    assert lines[-1].startswith(f"{running} of {len(steps)} steps must run: about {round(running * DONE)} s, ")


def test_many_reasons_are_shortened_but_not_in_json(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tree/vars/x.yml"
    config.write_text(config.read_text().replace("'true'", ", ".join(f"'echo {n}'" for n in range(9))))
    assert main(arguments) == 0
    assert "    and 3 more" in capsys.readouterr().out.splitlines()
    assert main([*arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    (step,) = [step for step in value["steps"] if step["name"] == "x: provision"]
    assert (step["kind"], step["state"], step["seconds"], step["size"]) == ("provision", "runs", DONE, 2_000_000)
    assert len(step["reasons"]) == 9
    assert step["changes"][0] == {"path": ["actions", "run", "commands"], "before": "true", "after": "echo 0"}
    names = {step["id"]: step["name"] for step in value["steps"]}
    assert {names[i] for i in step["needs"]} == {"base: bootstrap", "base: provision"}
    assert value["known"] is True
    assert value["seconds"] == DONE * sum(step["state"] == "runs" for step in value["steps"])


def test_graph_is_drawn_by_graphviz_and_as_a_page(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-e", "what=two", "--dot"]) == 0
    dot = capsys.readouterr().out
    assert dot.startswith("digraph plan {\n")
    assert '  "x: provision" [style=filled fillcolor=orange];\n' in dot
    assert '  "base: provision" -> "x: provision";\n' in dot
    assert '  "base: bootstrap" -> "x: provision";\n' not in dot
    page = tmp_path / "plan.html"
    assert main([*arguments, "-e", "what=two", "--html", str(page)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "steps must run" in said.err
    assert "run &gt; commands: `echo one` -&gt; `echo two`" in page.read_text()


def test_stale_lock_is_the_users_to_mend(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tree/vars/x.yml"
    config.write_text(config.read_text().replace("[less]", "[less, jq]"))
    assert main(arguments) == 2
    assert "imagebuilder lock" in capsys.readouterr().err


def test_plan_with_a_lock_starts_no_program_and_imports_no_builder(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom imagebuilder.cli.main import main\nfrom imagebuilder.host import command\n"
        f"command.spawn = None\nassert main({arguments!r}) == 0\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    needless = {"rich", "ansible", "imagebuilder.engine.build", "imagebuilder.engine.packages"}
    assert not needless & set(done.stderr.split())

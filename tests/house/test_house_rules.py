"""Each rule of the house catches an offender, lets its innocent neighbour pass, and holds for the whole program."""

from __future__ import annotations

from pathlib import Path

import pytest

from house import rules
from house.rules import Module, Rule

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "imagebuilder"
ALL_RULES = (*rules.EVERYWHERE, *rules.IN_THE_PROGRAM)

DOC = '"""Says what it is."""\n'


def _lines(count: int) -> str:
    return DOC + "x = 1\n" * (count - 1)


def _function(lines: int) -> str:
    return DOC + "def f():\n" + "    x = 1\n" * (lines - 1)


OFFENDERS: tuple[tuple[Rule, str, str], ...] = (
    (rules.modules_are_short, "plan/long.py", _lines(401)),
    (rules.functions_are_short, "plan/long.py", _function(61)),
    (rules.functions_are_short, "plan/long.py", _function(61).replace("def", "async def")),
    (rules.functions_take_few_parameters, "plan/wide.py", "def f(a, b, c, d, e, f): ..."),
    (rules.functions_take_few_parameters, "plan/wide.py", "def f(a, b, /, c, *d, e, **f): ..."),
    (rules.functions_take_few_parameters, "plan/wide.py", "class C:\n    def f(self, a, b, c, *, d, e, f): ..."),
    (rules.each_power_has_one_home, "host/mounts.py", "import subprocess"),
    (rules.each_power_has_one_home, "engine/x.py", "from subprocess import run as start"),
    (rules.each_power_has_one_home, "engine/x.py", "import asyncio\nasyncio.create_subprocess_exec('true')"),
    (rules.each_power_has_one_home, "engine/x.py", "import os as o\no.system('true')"),
    (rules.each_power_has_one_home, "host/mounts.py", "import ctypes.util"),
    (rules.each_power_has_one_home, "host/chroot.py", "import os\ndef f():\n    os.chroot('/x')"),
    (rules.each_power_has_one_home, "engine/x.py", "from shutil import rmtree"),
    (rules.each_power_has_one_home, "engine/x.py", "def f():\n    import shutil\n    shutil.rmtree('x')"),
    (rules.each_power_has_one_home, "engine/x.py", "from time import monotonic"),
    (rules.each_power_has_one_home, "steps/x.py", "from datetime import datetime\ndatetime.now()"),
    (rules.each_power_has_one_home, "steps/x.py", "import datetime as dt\ndt.date.today()"),
    (rules.each_power_has_one_home, "steps/x.py", "import random"),
    (rules.each_power_has_one_home, "steps/x.py", "from uuid import uuid4"),
    (rules.only_the_cli_exits, "engine/x.py", "import sys\nsys.exit(1)"),
    (rules.only_the_cli_exits, "engine/x.py", "raise SystemExit(1)"),
    (rules.each_power_has_one_home, "host/x.py", "from os import _exit"),
    (rules.only_the_cli_exits, "plan/x.py", "def f():\n    exit()"),
    (rules.module_names_say_something, "plan/utils.py", DOC),
    (rules.module_names_say_something, "common/names.py", DOC),
    (rules.modules_say_what_they_are, "plan/x.py", "x = 1"),
    (rules.modules_say_what_they_are, "plan/__init__.py", ""),
    (rules.scripts_are_files, "steps/x.py", 'SCRIPT = "#!/bin/sh\\nexit 0\\n"'),
    (rules.scripts_are_files, "steps/x.py", 'SCRIPT = b"""\n#! /usr/bin/env bash\n"""'),
    (rules.scripts_are_files, "steps/x.py", 'def f(x):\n    return f"#!/bin/sh\\n{x}"'),
    (rules.the_node_is_on_its_own, "node/agent/x.py", "from imagebuilder.errors import BootError"),
    (rules.the_node_is_on_its_own, "steps/x.py", "import imagebuilder.node.agent"),
)

INNOCENT: tuple[tuple[Rule, str, str], ...] = (
    (rules.modules_are_short, "plan/long.py", _lines(400)),
    (rules.functions_are_short, "plan/long.py", _function(60)),
    (rules.functions_take_few_parameters, "plan/wide.py", "class C:\n    def f(self, a, b, c, *, d, e): ..."),
    (rules.each_power_has_one_home, "host/command.py", "import subprocess\nsubprocess.run(['true'])"),
    (rules.each_power_has_one_home, "host/clock.py", "import time\ntime.monotonic()"),
    (rules.each_power_has_one_home, "steps/x.py", "import os\nos.path.join('a', 'b')\ntime = 1\ntime.real"),
    (rules.each_power_has_one_home, "steps/x.py", "from datetime import datetime\ndatetime.fromtimestamp(0)"),
    (rules.each_power_has_one_home, "steps/x.py", "import shutil\nshutil.which('x')"),
    (rules.only_the_cli_exits, "cli/main.py", "import sys\nsys.exit(1)"),
    (rules.only_the_cli_exits, "__main__.py", "import sys\nsys.exit(1)"),
    (rules.module_names_say_something, "plan/commons.py", DOC),
    (rules.modules_say_what_they_are, "plan/x.py", DOC),
    (rules.scripts_are_files, "steps/x.py", 'NOTE = "a script starts with #!/bin/sh"'),
    (rules.the_node_is_on_its_own, "node/agent/x.py", "import json"),
    (rules.the_node_is_on_its_own, "steps/x.py", "import imagebuilder.errors"),
)


def _case(case: tuple[Rule, str, str]) -> str:
    rule, path, source = case
    return f"{rule.__name__}: {path}: {source[-40:]!r}"


@pytest.mark.parametrize("case", OFFENDERS, ids=_case)
def test_rule_catches_an_offender_and_names_its_file(case: tuple[Rule, str, str]) -> None:
    rule, path, source = case
    offences = list(rule(Module.parse(path, source)))
    assert offences
    assert all(path in offence for offence in offences)


@pytest.mark.parametrize("case", INNOCENT, ids=_case)
def test_rule_lets_the_innocent_neighbour_pass(case: tuple[Rule, str, str]) -> None:
    rule, path, source = case
    assert list(rule(Module.parse(path, source))) == []


def test_every_rule_has_an_offender_and_a_neighbour() -> None:
    assert {rule for rule, _, _ in OFFENDERS} == {rule for rule, _, _ in INNOCENT} == set(ALL_RULES)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.__doc__.strip())
def test_rule_holds_for_the_whole_program(rule: Rule) -> None:
    modules = [Module.parse(str(path.relative_to(PACKAGE)), path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))]
    assert modules
    alone = rule in rules.IN_THE_PROGRAM
    offences = [offence for m in modules if not (alone and m.folder == "node") for offence in rule(m)]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("rule", [rules.modules_are_short, rules.functions_are_short], ids=lambda rule: rule.__doc__)
def test_rule_holds_for_tests_and_benchmarks_too(rule: Rule) -> None:
    paths = [p for folder in ("tests", "benchmarks") for p in sorted((REPOSITORY / folder).rglob("*.py"))]
    offences = [o for p in paths for o in rule(Module.parse(str(p.relative_to(REPOSITORY)), p.read_text()))]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("home", sorted({home for homes in rules.HOME_OF.values() for home in homes}))
def test_home_of_a_power_exists(home: str) -> None:
    assert (PACKAGE / home).is_file()

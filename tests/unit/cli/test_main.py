"""The command line as a whole: quick to say what it can do, and right about exit statuses."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imagebuilder import __version__
from imagebuilder.cli.main import _VERBS, main

# What makes a program slow to start. `--help` and a typing error need none of it.
HEAVY = {
    "pydantic",
    "jinja2",
    "yaml",
    "rich",
    "ansible",
    "imagebuilder.engine",
    "imagebuilder.spec",
    "http.server",
    "aiohttp",
    "sqlalchemy",
    "urllib3",
}


def test_help_imports_nothing_heavy() -> None:
    script = "import sys\nfrom imagebuilder.cli.main import parser\nparser()\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imagebuilder", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"imagebuilder {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["build", "--nonsense"], ["build", "-j", "many"], ["init"]])
def test_wrong_usage_is_the_users_mistake(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: imagebuilder" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [verb.replace("_", "-") for verb in _VERBS])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"usage: imagebuilder {verb}" in capsys.readouterr().out

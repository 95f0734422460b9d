"""What small actions ask of a root, and what they say while they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.errors import CommandError
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Source
from imagebuilder.steps.commands import RunCommands
from imagebuilder.steps.packages import InstallPackages
from machine import PlainMachine, PlainRoot

COMMANDS: tuple[tuple[str | tuple[str, ...], tuple[str, ...], str], ...] = (
    ("systemctl enable ssh", ("/bin/sh", "-e", "-c", "systemctl enable ssh"), "systemctl enable ssh"),
    ("echo a\nfalse\n", ("/bin/sh", "-e", "-c", "echo a\nfalse\n"), "echo a"),
    (("useradd", "--uid=1", "a", "b"), ("useradd", "--uid=1", "a", "b"), "useradd --uid=1 a b"),
    ("x" * 200, ("/bin/sh", "-e", "-c", "x" * 200), "x" * 80),
)


@pytest.mark.parametrize(("command", "argv", "shown"), COMMANDS)
def test_text_goes_to_a_shell_that_stops_at_errors_and_a_list_does_not(
    tmp_path: Path, command: str | tuple[str, ...], argv: tuple[str, ...], shown: str
) -> None:
    machine, root = PlainMachine(tmp_path), PlainRoot(tmp_path)
    RunCommands((command,)).run(machine, root)
    assert root.commands == [argv]
    assert machine.said == [shown]


def test_commands_run_in_order_and_the_first_failure_ends_them(tmp_path: Path) -> None:
    class Failing(PlainRoot):
        def run(self, argv, **options):  # type: ignore[no-untyped-def]
            super().run(argv)
            if argv == ("b",):
                raise CommandError(argv, 1, "")

    root = Failing(tmp_path)
    with pytest.raises(CommandError):
        RunCommands((("a",), ("b",), ("c",))).run(PlainMachine(tmp_path), root)
    assert root.commands == [("a",), ("b",)]


def test_packages_are_installed_in_one_transaction_with_the_trees_own_shown_below_run(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my tool.deb").write_text(folder)
    own = tuple(Source.of(tmp_path / folder / "my tool.deb") for folder in ("one", "two"))
    machine, root = PlainMachine(tmp_path), PlainRoot(tmp_path)
    InstallPackages(("less", "curl=7*"), own, (Deb("less", "1", "amd64", 1, ""),)).run(machine, root)
    (argv,) = root.commands
    shown = [f"/run/imagebuilder/debs/{number}/my tool.deb" for number in (0, 1)]
    assert argv[0] == "apt-get"
    assert argv[argv.index("--") :] == ("--", "less", "curl=7*", *shown)
    assert root.binds == [(source.path, place) for source, place in zip(own, shown, strict=True)]
    assert machine.said == ["installing 3 packages"]

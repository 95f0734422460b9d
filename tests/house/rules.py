"""The rules of the house as functions: parsed source in, one sentence per offence out.

A rule sees one module at a time. Where a name may be used is said once, in
`HOME_OF`; a new place for one of them is a decision, made there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

MODULE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 5

HOME_OF: Mapping[str, frozenset[str]] = {
    "subprocess": frozenset({"host/command.py"}),
    "os.system": frozenset(),
    "os.popen": frozenset(),
    "asyncio.create_subprocess_exec": frozenset(),
    "asyncio.create_subprocess_shell": frozenset(),
    "multiprocessing": frozenset(),
    "pty": frozenset(),
    "ctypes": frozenset({"host/kernel.py"}),
    "os.chroot": frozenset(),
    "shutil.rmtree": frozenset(),
    "time": frozenset({"host/clock.py"}),
    "datetime.datetime.now": frozenset(),
    "datetime.datetime.today": frozenset(),
    "datetime.datetime.utcnow": frozenset(),
    "datetime.date.today": frozenset(),
    "os._exit": frozenset({"host/namespace.py"}),  # the end of a forked child, which must not return
    "os.urandom": frozenset(),
    "random": frozenset(),
    "secrets": frozenset({"host/tokens.py"}),
    "uuid": frozenset(),
}
"""Dotted name -> the modules that may use it, and with it everything below it."""

FORBIDDEN_MODULE_NAMES = frozenset({"util", "utils", "common", "helper", "helpers", "misc"})

_EXITS = frozenset({"sys.exit", "builtins.SystemExit", "builtins.exit", "builtins.quit"})
_SCRIPT = re.compile(r"^#!\s*/", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Module:
    """A Python file of the package; `path` is relative to it."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Module:
        """Read source text. Raises SyntaxError."""
        return cls(PurePosixPath(path), text, ast.parse(text, path))

    @property
    def folder(self) -> str:
        """The first folder below the package, "" for a module at its top."""
        return self.path.parts[0] if len(self.path.parts) > 1 else ""


Rule = Callable[[Module], Iterator[str]]


def modules_are_short(module: Module) -> Iterator[str]:
    """No module has more than 400 lines."""
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield f"{module.path} has {lines} lines, over {MODULE_LINES}"


def functions_are_short(module: Module) -> Iterator[str]:
    """No function has more than 60 lines."""
    for function in _functions(module):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{_place(module, function)} `{function.name}` has {lines} lines, over {FUNCTION_LINES}"


def functions_take_few_parameters(module: Module) -> Iterator[str]:
    """No function has more than five parameters: beyond that a dataclass is missing."""
    for function in _functions(module):
        count = len(_parameters(function.args))
        if count > PARAMETERS:
            yield f"{_place(module, function)} `{function.name}` has {count} parameters, over {PARAMETERS}"


def each_power_has_one_home(module: Module) -> Iterator[str]:
    """Processes, libc, clocks, randomness and deletion of trees live in one place each."""
    for node, name in _uses(module.tree):
        for banned, homes in HOME_OF.items():
            if (name == banned or name.startswith(f"{banned}.")) and str(module.path) not in homes:
                yield f"{_place(module, node)} uses `{name}`; `{banned}` belongs to {sorted(homes) or 'nobody'}"


def only_the_cli_exits(module: Module) -> Iterator[str]:
    """Libraries raise; the command line decides about the exit status."""
    if module.folder == "cli" or module.path.name == "__main__.py":
        return
    for node, name in _uses(module.tree):
        if name in _EXITS:
            yield f"{_place(module, node)} uses `{name}`; raise an error instead"


def module_names_say_something(module: Module) -> Iterator[str]:
    """There is no drawer for things without a name."""
    for part in (*module.path.parts[:-1], module.path.stem):
        if part in FORBIDDEN_MODULE_NAMES:
            yield f"{module.path}: `{part}` is no name for a module"


def modules_say_what_they_are(module: Module) -> Iterator[str]:
    """Every module has a docstring."""
    if not ast.get_docstring(module.tree):
        yield f"{module.path} has no docstring"


def scripts_are_files(module: Module) -> Iterator[str]:
    """No shell script hides in a Python string."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if _SCRIPT.search(text):
                yield f"{_place(module, node)} holds a script; make it a file"


def the_node_is_on_its_own(module: Module) -> Iterator[str]:
    """What runs on a node imports nothing of ours, and nothing of ours imports it."""
    for node, name in _uses(module.tree):
        if module.folder == "node" and _is_below(name, "imagebuilder"):
            yield f"{_place(module, node)} imports `{name}`, which a node does not have"
        if module.folder != "node" and _is_below(name, "imagebuilder.node"):
            yield f"{_place(module, node)} imports `{name}`, which is not part of the program"


EVERYWHERE: tuple[Rule, ...] = (
    modules_are_short,
    functions_are_short,
    functions_take_few_parameters,
    module_names_say_something,
    modules_say_what_they_are,
    scripts_are_files,
    the_node_is_on_its_own,
)
IN_THE_PROGRAM: tuple[Rule, ...] = (each_power_has_one_home, only_the_cli_exits)
"""What runs on a node runs alone there: it may keep time and start processes."""


def _functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _parameters(arguments: ast.arguments) -> list[str]:
    """The names of all parameters; the first one does not count when it is `self` or `cls`."""
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    others = [a.arg for a in (arguments.vararg, *arguments.kwonlyargs, arguments.kwarg) if a]
    return positional[positional[:1] in (["self"], ["cls"]) :] + others


def _place(module: Module, node: ast.expr | ast.stmt) -> str:
    return f"{module.path}:{node.lineno}"


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _uses(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Every import and every name that goes back to one or to a builtin, with its full dotted name."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node, f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and (name := _dotted(node, known)):
            yield node, name


def _dotted(node: ast.expr, known: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return known.get(node.id, f"builtins.{node.id}")
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, known)):
        return f"{owner}.{node.attr}"
    return None

"""Jinja in the values of our own keys.

Values are rendered with the variables of the tree, as Ansible would do it: a
variable may hold a template itself, `{{ x }}` alone keeps x's type, and an
undefined variable is an error with its place. What a role gets is not rendered
here: Ansible does that.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.runtime

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.yamlfile import Document, Key, Unsafe

_ONE_EXPRESSION = re.compile(r"\{\{[-+]?((?:(?!\}\}|\{\{).)*?)-?\}\}\Z", re.DOTALL)
# Whatever an expression of the user's can raise: `1 + 'a'`, `1 / 0`, `{}['a']`, ...
FAULTS = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_SHOWN = 60


class Renderer:
    """Renders values with one set of variables."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = dict(variables)
        self._environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        self._environment.context_class = _context_class(self)
        self._rendering: list[str] = []

    def value(self, value: Any, document: Document, keys: tuple[Key, ...] = ()) -> Any:
        """Render `value`, which stands at `keys` in `document`. Raises SpecError with its place."""
        match value:
            case Unsafe():
                return value
            case str():
                try:
                    return self._text(value)
                except FAULTS as error:
                    raise _error(f"`{_short(value)}`", error, document.at(*keys)) from None
            case dict():
                return {k: self.value(v, document, (*keys, k)) for k, v in value.items()}
            case list():
                return [self.value(v, document, (*keys, i)) for i, v in enumerate(value)]
            case _:
                return value

    def file(self, path: Path, used_at: Location) -> str:
        """The rendered text of the template file at `path`. Raises SpecError with the line in it."""
        try:
            return self._environment.from_string(path.read_text(encoding="utf-8")).render(self._variables)
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"the template {path} cannot be read: {error}", location=used_at) from None
        except FAULTS as error:
            raise _error("this template", error, Location(path, line_of(error))) from None

    def variable(self, name: str, value: Any) -> Any:
        """A variable's value with its own templates rendered. Raises jinja2.TemplateError."""
        if name in self._rendering:
            raise jinja2.TemplateRuntimeError(f"the variable `{name}` refers to itself")
        self._rendering.append(name)
        try:
            return self._nested(value)
        finally:
            self._rendering.pop()

    def _text(self, text: str) -> Any:
        if "{{" not in text and "{%" not in text:
            return text
        if match := _ONE_EXPRESSION.match(text):
            expression = self._environment.compile_expression(match.group(1), undefined_to_none=False)
            result = expression(self._variables)
            if isinstance(result, jinja2.Undefined):
                return str(result)  # raises, and says what is undefined
            return list(result) if isinstance(result, Iterator) else result
        return self._environment.from_string(text).render(self._variables)

    def _nested(self, value: Any) -> Any:
        match value:
            case Unsafe():
                return value
            case str():
                return self._text(value)
            case list():
                return [self._nested(v) for v in value]
            case dict():
                return {k: self._nested(v) for k, v in value.items()}
            case _:
                return value


def line_of(error: Exception) -> int:
    """The line (from 1) of a template that went wrong in one of `FAULTS`; 0 when none can be blamed."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == "<template>"), 0)


def _error(what: str, error: Exception, location: Location) -> SpecError:
    message = error.message if isinstance(error, jinja2.TemplateError) else str(error)
    hint = None
    if isinstance(error, jinja2.UndefinedError):
        hint = "define the variable in group_vars/on_imagebuild or in the config file, or pass it with -e"
    return SpecError(f"{what} cannot be rendered: {message}", location=location, hint=hint)


def _short(text: str) -> str:
    """A value in one line, and not much of it: it may be a whole file."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _context_class(renderer: Renderer) -> type[jinja2.runtime.Context]:
    """A Jinja context that renders a variable when it is looked up, not before."""

    class LazyContext(jinja2.runtime.Context):
        def resolve_or_missing(self, key: str) -> Any:
            value = super().resolve_or_missing(key)
            return renderer.variable(key, value) if isinstance(value, str | list | dict) else value

    return LazyContext

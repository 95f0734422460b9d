"""Jinja in the values of our own keys.

Values are rendered with the variables of the tree, as Ansible would do it: a
variable may hold a template itself, `{{ x }}` alone keeps x's type, and an
undefined variable is an error with its place. What a role gets is not rendered
here: Ansible does that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2
import jinja2.runtime

from imagebuilder.errors import SpecError
from imagebuilder.spec.yamlfile import Document, Key

_ONE_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*\Z", re.DOTALL)


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
            case str():
                try:
                    return self._text(value)
                except jinja2.TemplateError as error:
                    raise SpecError(
                        f"`{value.strip()}` cannot be rendered: {error}",
                        location=document.at(*keys),
                        hint="define the variable in group_vars/on_imagebuild or in this file, or pass it with -e",
                    ) from None
            case dict():
                return {k: self.value(v, document, (*keys, k)) for k, v in value.items()}
            case list():
                return [self.value(v, document, (*keys, i)) for i, v in enumerate(value)]
            case _:
                return value

    def template(self, text: str) -> str:
        """Render a template file's text. Raises jinja2.TemplateError."""
        return self._environment.from_string(text).render(self._variables)

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
            return str(result) if isinstance(result, jinja2.Undefined) else result
        return self._environment.from_string(text).render(self._variables)

    def _nested(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case list():
                return [self._nested(v) for v in value]
            case dict():
                return {k: self._nested(v) for k, v in value.items()}
            case _:
                return value


def _context_class(renderer: Renderer) -> type[jinja2.runtime.Context]:
    """A Jinja context that renders a variable when it is looked up, not before."""

    class LazyContext(jinja2.runtime.Context):
        def resolve_or_missing(self, key: str) -> Any:
            value = super().resolve_or_missing(key)
            return renderer.variable(key, value) if isinstance(value, str | list | dict) else value

    return LazyContext

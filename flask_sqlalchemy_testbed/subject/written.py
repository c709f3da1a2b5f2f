"""Find the database URIs that are written in the code of an app, without running it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.shown import shown
from flask_sqlalchemy_testbed.subject.source import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITTEN_URI = re.compile(r"(sqlite|postgres|postgresql|mysql|mariadb)(\+\w+)?://")


@dataclass(frozen=True, slots=True)
class WrittenUri:
    """A URI that is written in the code of an app."""

    place: str
    kind: str
    """The name of its database."""
    key: str = ""
    """The configuration key that gets it; empty if none does."""
    variable: str = ""
    """The environment variable that replaces it where it is written; empty if none does."""


def written_uris(file: Path) -> Iterator[WrittenUri]:
    """Yield the URIs that are written in a file, except in docstrings; none if it cannot be parsed.

    Args:
        file: A module.
    """
    if (tree := parsed(file)) is None:
        return
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    keys = {id(part): key for key, value in _settings(tree) for part in ast.walk(value) if key.isupper()}
    variables = {id(part): name for name, default in _defaults(tree) for part in ast.walk(default) if name}
    name = shown(file)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or node in docstrings or not isinstance(node.value, str):
            continue
        if match := WRITTEN_URI.match(node.value):
            kind = {"postgres": "postgresql"}.get(match[1], match[1])
            place = f"{name}, line {node.lineno}"
            yield WrittenUri(place, kind, keys.get(id(node), ""), variables.get(id(node), ""))


def _defaults(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield each environment variable that is looked up, with the expression for its default."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((_variable(node), default) for default in node.args[1:])
        elif isinstance(node, ast.BoolOp) and isinstance(node.values[0], ast.Call):
            yield from ((_variable(node.values[0]), default) for default in node.values[1:])


def _variable(call: ast.Call) -> str:
    """Return the environment variable that a call looks up; empty for another call."""
    function = ast.unparse(call.func)
    is_lookup = function.endswith(("getenv", "environ.get"))
    return _text(call.args[0]) if is_lookup and call.args else ""


def _settings(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield each text that may be a configuration key, with the expression for its value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword):
            yield node.arg or "", node.value
        elif isinstance(node, ast.Dict):
            yield from ((_text(key), value) for key, value in zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Subscript):
            yield _text(target.slice), node.value


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

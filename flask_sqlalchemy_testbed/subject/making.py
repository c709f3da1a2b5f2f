"""Find the lines that an app's making ends with, and that give the app to its library, without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.source import FUNCTIONS, own_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping


def given_at(trees: Mapping[str, ast.Module], library: str, made: ast.Call, app: str) -> str:
    """Return the line that gives the app to its library, as `file:line`; empty if there is none.

    Args:
        trees: The modules of the app, by file.
        library: The variable of the library's object.
        made: The call that makes the object.
        app: The variable of the app.
    """
    in_making = ""
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if ast.unparse(node.func).endswith("init_app"):
                if f".{ast.unparse(node.func)}".endswith(f".{library}.init_app"):
                    return f"{file}:{node.lineno}"
            elif node is made and app in _names(*node.args, *(keyword.value for keyword in node.keywords)):
                in_making = f"{file}:{node.lineno}"
    return in_making


def returned_at(trees: Mapping[str, ast.Module], made: ast.Call, app: str) -> str:
    """Return the line at which the maker of the app returns it, as `file:line`; empty if there is none.

    Args:
        trees: The modules of the app, by file.
        made: The call that makes the app.
        app: The variable of the app.
    """
    for file, tree in trees.items():
        for function in ast.walk(tree):
            nodes = list(own_nodes(function)) if isinstance(function, FUNCTIONS) else []
            if any(node is made for node in nodes):
                returns = [node for node in nodes if isinstance(node, ast.Return)]
                lines = [one.lineno for one in returns if getattr(one.value, "id", "") == app]
                return f"{file}:{max(lines)}" if lines else ""
    return ""


def _names(*nodes: ast.AST) -> set[str]:
    return {one.id for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)}

"""Find the streamed responses of an app that run after their context, without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.source import FUNCTIONS, own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROUTES = {"route", "get", "post", "put", "delete", "patch"}
RESPONSES = {"Response", "response_class", "make_response"}


def unwrapped_streams(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return where responses get a generator without `stream_with_context`, each as `file:line`.

    Args:
        trees: The modules of the app, by file.
    """
    return [
        f"{file}:{line}"
        for file, tree in trees.items()
        for line in sorted({node.lineno for node in _bodies(tree) if _is_generator(node, _generators(tree))})
    ]


def _bodies(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the expressions for the bodies of responses: the results of views, and arguments of responses."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and any(_name(one) in ROUTES for one in node.decorator_list):
            yield from (one.value for one in own_nodes(node) if isinstance(one, ast.Return) and one.value)
        elif isinstance(node, ast.Call) and _name(node) in RESPONSES:
            yield from node.args[:1]
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "response")


def _is_generator(node: ast.expr, generators: set[str]) -> bool:
    return isinstance(node, ast.GeneratorExp) or (isinstance(node, ast.Call) and _name(node) in generators)


def _generators(tree: ast.Module) -> set[str]:
    """Return the names of generator functions; a decorator may wrap the generator."""
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
        and not node.decorator_list
        and any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in own_nodes(node))
    }


def _name(node: ast.expr) -> str:
    """Return the last word of the function that is called, or of a decorator."""
    function = node.func if isinstance(node, ast.Call) else node
    return str(getattr(function, "id", getattr(function, "attr", "")))

"""Find the code that nothing needs when each app has its own engine."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.mentions import uses_of_global

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def global_name_at(trees: Mapping[str, ast.Module], name: str, file: str, makers: Collection[ast.AST]) -> str:
    """Return the lines that make an engine's name global; empty if other functions assign it, too.

    Args:
        trees: The modules of the app, by file.
        name: The name of the engine.
        file: The module that has the name.
        makers: The functions that make the engine.
    """
    statements = {id(node): node for node in _globals(trees[file], name)}
    own = {id(node) for maker in makers for node in _globals(maker, name)}
    if not own or own != statements.keys():
        return ""
    lines = [one.lineno for one in trees[file].body if _is_placeholder(one, name)]
    return ", ".join(
        f"{file}:{line}" for line in sorted([*lines, *(one.lineno for one in statements.values())])
    )


def _globals(tree: ast.AST, name: str) -> list[ast.Global]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Global) and name in node.names]


def _is_placeholder(statement: ast.stmt, name: str) -> bool:
    """Return whether this is `name = None`, perhaps with an annotation, or the annotation alone."""
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return False
    value = statement.value
    is_none = value is None or (isinstance(value, ast.Constant) and value.value is None)
    return is_none and [getattr(one, "id", "") for one in targets] == [name]


def is_unused_without(trees: Mapping[str, ast.Module], maker: str, at: str, scoped: ast.Call) -> bool:
    """Return whether nothing uses a sessionmaker but the scoped session, and the call that binds it.

    Args:
        trees: The modules of the app, by file.
        maker: The name of the sessionmaker.
        at: The line that makes it, as `file:line`.
        scoped: The call that makes the scoped session, which a change replaces.
    """
    binding = [
        node
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and f".{ast.unparse(node.func)}".endswith(f".{maker}.configure")
        and any(keyword.arg == "bind" for keyword in node.keywords)
    ]
    return not uses_of_global(trees, maker, at, [scoped, *binding])

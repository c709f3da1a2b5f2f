"""Read the code of the app without running it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Code in these runs later, perhaps in a context.
LATER = (*FUNCTIONS, ast.ClassDef, ast.Lambda)


def parsed(file: str | Path) -> ast.Module | None:
    """Return the tree of a file; None if it cannot be read or parsed.

    Args:
        file: The path of a module; empty for none.
    """
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, except those of functions and classes inside it.

    Args:
        function: The function.
    """
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, LATER):
            yield child
            yield from own_nodes(child)

"""Find the modules of a project that define tables, without importing them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.discovery import file_of
from flask_sqlalchemy_testbed.subject.source import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator


def module_with_tables(module: str, name: str) -> str:
    """Return a module of a project that defines tables with a global name of its own; empty if none does.

    Args:
        module: Another module of the project.
        name: The global name of a base class, a registry or a `MetaData`, in the module that is sought.
    """
    found = [one for one, tree in _modules_beside(module) if one != module and _defines_tables(tree, name)]
    return min(found, key=lambda one: ("model" not in one, one), default="")


def _modules_beside(module: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules in the package of a module, or beside it, each with its code."""
    file = Path(file_of(module.partition(".")[0]))
    is_package = file.name == "__init__.py"
    root = file.parents[1] if is_package else file.parent
    for path in file.parent.rglob("*.py") if is_package else [*root.glob("*.py"), *root.glob("*/*.py")]:
        parts = path.relative_to(root).with_suffix("").parts
        if not all(part.isidentifier() for part in parts):
            continue
        if tree := parsed(path):
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), tree


def _defines_tables(tree: ast.Module, name: str) -> bool:
    """Return whether a module has a global name and makes a table or a mapped class with it."""
    has_name = any(name in _names_of(statement) for statement in tree.body)
    uses: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            uses += [*node.bases, *node.decorator_list]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Table":
            uses += node.args
    return has_name and any(
        isinstance(one, ast.Name) and one.id == name for use in uses for one in ast.walk(use)
    )


def _names_of(statement: ast.stmt) -> set[str]:
    """Return the global names that a statement of a module imports, assigns or defines."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name for alias in statement.names}
    if isinstance(statement, ast.ClassDef):
        return {statement.name}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }

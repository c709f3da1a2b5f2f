"""Find the other code of a project that names the file or the engine that a change replaces."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.source import FUNCTIONS
from flask_sqlalchemy_testbed.subject.usage import CONTEXTS, module_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

# Migrations, tests and scripts are modules that no app imports.
OTHER_FILES = ("*.py", "*/*.py", "*.ini", "*/*.ini")
RELATIVE_URI = re.compile(r"sqlite(\+\w+)?:///(?!/|:memory:|file:)\S+")
MOST_PLACES = 8
# Decorators of functions that run in an app context.
CALLED_BY_FLASK = re.compile(
    r"(.*\.)?(route|get|post|put|patch|delete|errorhandler|cli\.command|with_appcontext|before_(app_)?request"
    r"|after_(app_)?request|teardown_(app_)?request|teardown_appcontext)(\(.*)?",
    re.DOTALL,
)
OF_CLICK = re.compile(r"(click\.)?command(\(.*)?", re.DOTALL)


def other_uris(trees: Mapping[str, ast.Module]) -> str:
    """Return where other files than the app's write a relative URI of the app; empty if nowhere.

    Args:
        trees: The modules of the app, by file.
    """
    uris = {
        node.value
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and RELATIVE_URI.fullmatch(node.value)
    }
    if not uris:
        return ""
    written = re.compile(rf"({'|'.join(map(re.escape, sorted(uris)))})(?![\w./-])")
    return _listed(
        f"{file}:{number}"
        for file, text in _other_files(trees)
        for number, line in enumerate(text.splitlines(), 1)
        if written.search(line)
    )


def uses_of_global(
    trees: Mapping[str, ast.Module], name: str, at: str, replaced: Iterable[ast.AST | None]
) -> str:
    """Return where code uses a global name of a module, except where a change replaces it; empty if nowhere.

    Args:
        trees: The modules of the app, by file.
        name: The name, such as that of an engine.
        at: The line that assigns it, as `file:line`.
        replaced: The code in which a change replaces the name, or need not.
    """
    home = at.rpartition(":")[0]
    module = module_of(home)
    left_out = {id(node) for code in replaced if code for node in ast.walk(code)}
    found = []
    for file, tree in {**trees, **dict(_other_trees(trees))}.items():
        if file == home:
            lines = set(_loads(tree, name, left_out))
        else:
            lines = set(_uses_elsewhere(tree, name, module, Path(file).parent.name, left_out))
        found += [f"{file}:{line}" for line in sorted(lines)]
    return _listed(found)


def defines_tables_at(trees: Mapping[str, ast.Module]) -> tuple[str, str]:
    """Return the calls of `create_all()` and `drop_all()`, as `file:line`, and the metadata of the first.

    Args:
        trees: The modules of the app, by file.

    Returns:
        The lines, and the metadata as the app calls it, such as `Base.metadata`. Both may be empty.
    """
    found = [
        (f"{file}:{node.lineno}", ast.unparse(node.func.value))
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"create_all", "drop_all"}
    ]
    owner = found[0][1] if found else ""
    # Flask-SQLAlchemy's object has the methods, too, and they take no connection.
    metadata = owner if not owner or owner.rpartition(".")[2].startswith("metadata") else f"{owner}.metadata"
    return _listed(place for place, _ in found), metadata


def outside_calls(trees: Mapping[str, ast.Module], engine_uses: str, factory: str) -> tuple[str, str]:
    """Return calls of the functions that use an engine, except those that run in an app context.

    Args:
        trees: The modules of the app, by file.
        engine_uses: The lines that use it, as `uses_of_global` returns them.
        factory: The name of the factory: it calls them with an engine of its own.

    Returns:
        The lines as `file:line`, without those in commands of click that the app adds to its own; and these
        lines, with those that use the engine there. Each is empty if there is none.
    """
    every = {**trees, **dict(_other_trees(trees))}
    used = set(engine_uses.split(", "))
    names = {
        (function.name, module_of(file))
        for file, tree in every.items()
        for function in tree.body
        if isinstance(function, FUNCTIONS) and function.name != factory
        if any(f"{file}:{getattr(node, 'lineno', 0)}" in used for node in ast.walk(function))
    }
    added = {name for tree in every.values() for name in _added_commands(tree)}
    calls, in_commands = [], []
    for file, tree in every.items():
        called = set(_calls_outside(tree, names))
        own = {line for line in _lines_of_commands(tree, added) if line in called or f"{file}:{line}" in used}
        calls += [f"{file}:{line}" for line in sorted(called - own)]
        in_commands += [f"{file}:{line}" for line in sorted(own)]
    return _listed(calls), _listed(in_commands)


def _calls_outside(tree: ast.Module, names: Collection[tuple[str, str]]) -> Iterator[int]:
    """Yield the lines of calls that no app context is around."""
    for node in _nodes_outside(tree):
        if isinstance(node, ast.Call):
            of, _, name = ast.unparse(node.func).rpartition(".")
            known = [home for one, home in names if one == name]
            if known and (not of or of.rpartition(".")[2] in known):
                yield node.lineno


def _added_commands(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the functions that are added to the commands of an app or a blueprint."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith("cli.add_command"):
            yield ast.unparse(node.args[0]).rpartition(".")[2]


def _lines_of_commands(tree: ast.Module, names: Collection[str]) -> Iterator[int]:
    """Yield the lines of click's commands of these names that no app context is around."""
    for function in _nodes_outside(tree):
        if (
            isinstance(function, FUNCTIONS)
            and function.name in names
            and any(OF_CLICK.fullmatch(ast.unparse(one)) for one in function.decorator_list)
        ):
            yield from (getattr(node, "lineno", 0) for node in _nodes_outside(function))


def _nodes_outside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that no app context is around, as far as the code shows."""
    for child in ast.iter_child_nodes(node):
        if not _runs_in_context(child):
            yield child
            yield from _nodes_outside(child)


def _runs_in_context(node: ast.AST) -> bool:
    """Return whether this is a block with a context, or a function that Flask calls in one."""
    if isinstance(node, ast.With):
        return any(word in ast.unparse(item.context_expr) for item in node.items for word in CONTEXTS)
    decorators = node.decorator_list if isinstance(node, FUNCTIONS) else []
    return any(CALLED_BY_FLASK.fullmatch(ast.unparse(one)) for one in decorators)


def _listed(places: Iterable[str]) -> str:
    found = list(places)
    more = f" and {len(found) - MOST_PLACES} more" if len(found) > MOST_PLACES else ""
    return ", ".join(found[:MOST_PLACES]) + more


def _other_files(known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the files beside the app's modules, each relative to the current folder with its text.

    A folder with a dot in its name, such as `shop.bak`, is a copy and not the project's code.
    """
    here = Path.cwd()
    for file in sorted({file for pattern in OTHER_FILES for file in here.glob(pattern)}):
        name, folders = str(file.relative_to(here)), file.relative_to(here).parts[:-1]
        if name not in known and not name.startswith(".") and not any("." in folder for folder in folders):
            try:
                yield name, file.read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue


def _other_trees(known: Collection[str]) -> Iterator[tuple[str, ast.Module]]:
    for name, text in _other_files(known):
        if name.endswith(".py"):
            try:
                yield name, ast.parse(text)
            except (SyntaxError, ValueError):
                continue


def _loads(node: ast.AST, name: str, left_out: Collection[int] = ()) -> Iterator[int]:
    """Yield the lines that read a name of the module; a function may have another variable of the name."""
    if id(node) in left_out or (isinstance(node, (*FUNCTIONS, ast.Lambda)) and name in _locals(node)):
        return
    if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
        yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _loads(child, name, left_out)


def _locals(function: ast.AST) -> set[str]:
    nodes = list(ast.walk(function))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names -= {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    return names | {node.arg for node in nodes if isinstance(node, ast.arg)}


def _uses_elsewhere(
    tree: ast.Module, name: str, module: str, folder: str, left_out: Collection[int]
) -> Iterator[int]:
    """Yield the lines that import a global name, or use it, in another module than its own."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        package = (node.module or folder) if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if alias.name == name and package.rpartition(".")[2] == module:
                yield node.lineno
                yield from _loads(tree, alias.asname or name, left_out)
            elif alias.name.rpartition(".")[2] == module:
                imported.add(alias.asname or alias.name)
    for node in ast.walk(tree):
        if id(node) in left_out or not isinstance(node, ast.Attribute):
            continue
        if node.attr == name and ast.unparse(node.value) in imported:
            yield node.lineno

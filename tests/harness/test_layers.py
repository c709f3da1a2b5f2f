"""The package's modules import each other in one direction; docs/architecture.md has the picture."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import flask_sqlalchemy_testbed

NAME = flask_sqlalchemy_testbed.__name__
ROOT = Path(flask_sqlalchemy_testbed.__file__).parent
# A part imports parts of its own level and of lower ones.
LEVELS = {
    "": 6,  # names the types of the fixtures
    "options": 0,
    "backends": 1,
    "checks": 1,
    "redaction": 1,
    "databases": 2,
    "servers": 2,
    "subject": 2,
    "timeline": 2,
    "isolation": 3,
    "leaks": 3,
    "report": 3,
    "run": 4,
    "plugin": 5,
    "battery": 6,
    "command": 6,
    "__main__": 6,
}


def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of each module, by the module's name below the package."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.Module, modules: set[str]) -> set[str]:
    """Return the package's modules that a module imports anywhere, for type checking and in functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}.")}
    return {name if name in modules else name.rpartition(".")[0] for name in ours}


MODULES = sources()
IMPORTS = {name: imports(tree, set(MODULES)) for name, tree in MODULES.items()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise AssertionError(circle) from None


def test_imports_go_to_the_same_or_a_lower_level() -> None:
    upward = {
        (name, imported)
        for name, targets in IMPORTS.items()
        for imported in targets
        if LEVELS[name.partition(".")[0]] < LEVELS[imported.partition(".")[0]]
    }

    assert sorted(upward) == []


def test_pytest_hooks_are_in_the_plugin_and_in_conftests() -> None:
    hooks = {
        f"{name}:{node.name}"
        for name, tree in MODULES.items()
        if not name.startswith("plugin.") and not name.endswith("conftest")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("pytest_")
    }

    assert sorted(hooks) == []

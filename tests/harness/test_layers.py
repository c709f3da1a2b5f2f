"""The package's modules import each other in one direction.

docs/architecture.md has the picture.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import flask_sqlalchemy_testbed

NAME = flask_sqlalchemy_testbed.__name__
ROOT = Path(flask_sqlalchemy_testbed.__file__).parent
# A part imports parts of its own level and of lower ones; "" is the package's own __init__,
# which names the types of the fixtures.
LEVELS = (
    ("options",),
    ("backends", "checks", "redaction"),
    ("databases", "servers", "statements", "subject", "timeline"),
    ("isolation", "leaks", "report"),
    ("run",),
    ("plugin",),
    ("battery", "command", "__main__", ""),
)
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module, by the module's name below the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip("."): ast.parse(path.read_text(encoding="utf-8"))
        for path in ROOT.rglob("*.py")
    }


@pytest.fixture(scope="module")
def imported(modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    return {name: imports(tree, modules) for name, tree in modules.items()}


def imports(tree: ast.Module, modules: dict[str, ast.Module]) -> set[str]:
    """Return the package's modules that a module imports anywhere.

    This includes imports for type checking and in functions.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}.")}
    return {name if name in modules else name.rpartition(".")[0] for name in ours}


def test_no_modules_import_each_other_in_a_circle(imported: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(reversed(error.args[1]))) from None


def test_imports_go_to_the_same_or_a_lower_level(imported: dict[str, set[str]]) -> None:
    assert [
        (name, target)
        for name, targets in sorted(imported.items())
        for target in sorted(targets)
        if LEVEL[name.partition(".")[0]] < LEVEL[target.partition(".")[0]]
    ] == []


def test_pytest_hooks_are_in_the_plugin_and_in_conftests(modules: dict[str, ast.Module]) -> None:
    assert [
        f"{name}:{node.name}"
        for name, tree in modules.items()
        if not name.startswith("plugin.") and not name.endswith("conftest")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("pytest_")
    ] == []

"""The package's modules import each other in one direction.

docs/architecture.md has the picture.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

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
# The syntax tree of each module, by the module's name below the package.
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in ROOT.rglob("*.py")
}


def imports(tree: ast.Module) -> set[str]:
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
    return {name if name in MODULES else name.rpartition(".")[0] for name in ours}


IMPORTS = {name: imports(tree) for name, tree in MODULES.items()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(reversed(error.args[1]))) from None


def test_imports_go_to_the_same_or_a_lower_level() -> None:
    assert [
        (name, imported)
        for name, targets in sorted(IMPORTS.items())
        for imported in sorted(targets)
        if LEVEL[name.partition(".")[0]] < LEVEL[imported.partition(".")[0]]
    ] == []


def test_pytest_hooks_are_in_the_plugin_and_in_conftests() -> None:
    assert [
        f"{name}:{node.name}"
        for name, tree in MODULES.items()
        if not name.startswith("plugin.") and not name.endswith("conftest")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("pytest_")
    ] == []

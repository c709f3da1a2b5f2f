"""Find where an app makes its engine, its session and itself, without running it."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES, NO_LIBRARY
from flask_sqlalchemy_testbed.subject.discovery import file_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_sqlalchemy_testbed.checks.libraries import Library
    from flask_sqlalchemy_testbed.subject.subject import Subject

ENGINE_MAKERS = ("create_engine", "engine_from_config")
SESSION_MAKERS = ("scoped_session", "sessionmaker")


@dataclass(frozen=True, slots=True)
class Places:
    """The places of an app's code that a remedy changes, and the names that its code uses there.

    A text is empty if the place or the name is unknown.
    """

    library: str = ""
    """The name of a library in `checks/libraries.py`."""
    engine_at: str = ""
    """The call that makes the engine, as `file:line`; the file is relative to the current folder."""
    session_at: str = ""
    factory_at: str = ""
    engine_name: str = ""
    """The expression for the engine in the app's own code."""
    session_name: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the known texts by their names."""
        return {name: text for name, text in asdict(self).items() if text}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a maker: its place, and the target of its assignment."""

    at: str
    target: str = ""


def places(subject: Subject) -> Places:
    """Return the places of an app; its modules are parsed, and nothing is imported.

    Args:
        subject: The app and its session, by name.
    """
    app_module, _, app = subject.app_path.partition(":")
    session_module, _, session = subject.session_path.partition(":")
    trees = dict(_trees([session_module, app_module, *subject.roots, *sorted(subject.modules)]))
    library = _library(trees.values())
    calls = dict(_calls(trees, {*ENGINE_MAKERS, *SESSION_MAKERS, *library.makers, "Flask"}))
    # An app may use SQLAlchemy's own session beside a library.
    own = subject.session_path and _first(calls, SESSION_MAKERS)
    held = None if own else _first(calls, reversed(library.makers))
    engine = (held and _first(calls, library.makers)) or _first(calls, ENGINE_MAKERS)
    made = held or _first(calls, SESSION_MAKERS)
    module = _relative(file_of(app_module))
    factory = (
        _definition(trees, app.partition("(")[0]) or calls.get("Flask") or (module and _Call(f"{module}:1"))
    )
    return Places(
        library=library.name if held else "",
        engine_at=engine.at if engine else "",
        session_at=made.at if made else "",
        factory_at=factory.at if factory else "",
        engine_name=_named(library.engine, held) if held else engine.target if engine else "",
        session_name=session or (_named(library.session, held) if held else made.target if made else ""),
    )


def _trees(modules: Iterable[str]) -> Iterator[tuple[str, ast.Module]]:
    """Yield each file that can be parsed with its tree, in the order of the modules."""
    for file in dict.fromkeys(file_of(module) for module in modules if module):
        try:
            tree = ast.parse(Path(file).read_bytes())
        except (OSError, ValueError, SyntaxError):
            continue
        yield _relative(file), tree


def _relative(file: str) -> str:
    """Return the path of a file, relative to the current folder if the file is in it; empty for none."""
    path = Path(file).resolve()
    return file and str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _library(trees: Iterable[ast.Module]) -> Library:
    imported = {
        name.partition(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    return next((library for library in LIBRARIES.values() if library.module in imported), NO_LIBRARY)


def _calls(trees: dict[str, ast.Module], makers: set[str]) -> Iterator[tuple[str, _Call]]:
    """Yield the first call of each maker, by the maker's name."""
    found: set[str] = set()
    for file, tree in trees.items():
        targets = {
            id(node.value): ast.unparse(node.targets[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in makers - found:
                found.add(name)
                yield name, _Call(f"{file}:{node.lineno}", targets.get(id(node), ""))


def _definition(trees: dict[str, ast.Module], name: str) -> _Call | None:
    """Return where a function of this name is defined."""
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                return _Call(f"{file}:{node.lineno}", name)
    return None


def _first(calls: dict[str, _Call], makers: Iterable[str]) -> _Call | None:
    return next((calls[maker] for maker in makers if maker in calls), None)


def _named(expression: str, call: _Call) -> str:
    """Return an expression of a library with the variable that holds the maker's object."""
    return expression.replace("MAKER", call.target) if call.target else ""

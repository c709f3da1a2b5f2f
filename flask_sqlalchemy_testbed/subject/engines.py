"""Note where the app's code makes its engines: SQLAlchemy sends no event for that, and calls a hook."""

from __future__ import annotations

import ast
import sys
import threading
import weakref
from traceback import walk_stack
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.pool import NullPool

from flask_sqlalchemy_testbed.subject.raised import is_own, nearest_line
from flask_sqlalchemy_testbed.subject.source import parsed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# The beginning of the names of databases that a run creates.
RUN = "testbed_"
_lock = threading.Lock()
_installed = False
_made: weakref.WeakKeyDictionary[Engine, str] = weakref.WeakKeyDictionary()


def note_places() -> None:
    """Note the place of each engine from now on; further calls do nothing."""
    global _installed  # noqa: PLW0603 - there is one per process
    with _lock:
        if _installed:
            return
        _installed = True
    created = Dialect.engine_created

    def noting(_: type[Dialect], engine: Engine) -> None:
        created(engine)
        stack = walk_stack(sys._getframe(1))  # noqa: SLF001 - `inspect` is far slower
        if place := nearest_line((frame.f_code, line) for frame, line in stack):
            with _lock:
                _made[engine] = place

    # Not Engine.__init__: create_engine() reads the names of its parameters.
    Dialect.engine_created = classmethod(noting)  # type: ignore[assignment, method-assign]


def made_at(engine: Engine) -> str:
    """Return the line of the app that made an engine, as `file:line`; empty if unknown.

    Args:
        engine: An engine of the app.
    """
    with _lock:
        return _made.get(engine, "")


def others(known: Collection[str]) -> Iterator[tuple[Engine, str]]:
    """Yield the engines that other lines of the app have made and that still exist, each with its line.

    Args:
        known: Lines that make engines, as `made_at` returns them.
    """
    with _lock:
        found = list(_made.items())
    yield from ((engine, place) for engine, place in found if place not in known)


def of_earlier_app(engine: Engine) -> str:
    """Return the line that made an engine for an earlier app, and that a module of the app has kept.

    Args:
        engine: The engine of the app that was made last.

    Returns:
        The line, as `file:line`; empty if there is no such engine.
    """
    modules = [getattr(module, "__dict__", {}) for module in list(sys.modules.values())]
    kept = {id(value) for module in modules for value in list(module.values())}
    for other, place in others({made_at(engine)}):
        database = other.url.database or ""
        if id(other) in kept and RUN in database and database != engine.url.database:
            return place
    return ""


def made_by_import(engine: Engine) -> str:
    """Return the module of the app whose import makes an engine; empty if no global statement does.

    Args:
        engine: An engine, perhaps one with options.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        for attribute, value in list(vars(module).items()) if file and is_own(file) else ():
            # Not isinstance(): a proxy may need a context for it.
            if issubclass(type(value), Engine) and value.pool is engine.pool and _assigns(file, attribute):
                return name
    return ""


def _assigns(file: str, name: str) -> bool:
    """Return whether a global statement of a module assigns the result of a call to a name."""
    tree = parsed(file)
    statements: list[ast.AST] = [*tree.body] if tree else []
    for one in statements:
        targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
        if isinstance(one, (ast.If, ast.Try, ast.ExceptHandler, ast.With)):
            statements += ast.iter_child_nodes(one)
        elif any(isinstance(node, ast.Name) and node.id == name for node in targets) and any(
            isinstance(node, ast.Call) for node in ast.walk(one)
        ):
            return True
    return False


def has_connections(engine: Engine) -> bool:
    """Return whether the pool of an engine has open connections, as far as it can tell.

    Args:
        engine: An engine.
    """
    pool: Any = engine.pool
    if hasattr(pool, "checkedin"):
        return bool(pool.checkedin() + pool.checkedout())
    return not isinstance(pool, NullPool)

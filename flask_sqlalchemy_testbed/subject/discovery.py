"""Finds the app as `flask` finds it, and the session where extensions and modules keep it."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.cli import prepare_import
from sqlalchemy.orm import scoped_session

from flask_sqlalchemy_testbed.subject.errors import SubjectError

if TYPE_CHECKING:
    from collections.abc import Iterable

# In `app.extensions`: what it is called, and how it is asked for the session of the current context.
EXTENSIONS = {"sqlalchemy": "session", "advanced_alchemy": "get_sync_session"}
FACTORIES = ("create_app", "make_app")
GLOBALS = ("app", "application")
INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an app is, and how one knows."""

    module: str
    attribute: str = ""
    """Nothing: the best that there is in the module."""
    arguments: tuple[Any, ...] | None = None
    """What the command line calls the factory with."""
    how: str = ""
    """Nothing: it was told."""
    folder: str = ""
    """Where the module is to be imported from, if it was named by a path."""

    def __str__(self) -> str:
        call = "" if self.arguments is None else f"({', '.join(map(repr, self.arguments))})"
        return f"{self.module}:{self.attribute}{call}" if self.attribute else self.module

    def with_attribute(self, name: str) -> Place:
        """The same, where the attribute was found rather than told."""
        return replace(self, attribute=name)


def find(path: str, option: str) -> Any:
    """What `module:attribute.path` names, looked up anew; the working directory is searched too."""
    module, colon, attributes = path.partition(":")
    if not (module and colon and attributes):
        message = f"{option} {path!r} is not of the form module:attribute."
        raise SubjectError(message)
    found = imported(module, f"{option} {path!r}")
    for name in attributes.split("."):
        if not hasattr(found, name):
            message = f"{option} {path!r}: {module!r} has no {attributes!r}; {name!r} was not found."
            raise SubjectError(message)
        found = getattr(found, name)
    return found


def imported(module: str, option: str) -> Any:
    """The module, with the working directory searched too."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        message = f"{option}: importing {module!r} raised {type(error).__name__}: {error}"
        raise SubjectError(message) from error


def locate(app: str) -> Place:
    """Where the app is that was told, or else that `flask` would find here; nothing is imported yet."""
    if app:
        return _read(app, "--testbed-app")
    if name := os.environ.get("FLASK_APP") or _in_dotenv():
        place = _read(name, "FLASK_APP")
        return replace(place, how="by FLASK_APP")
    for file in ("wsgi.py", "app.py", "app/__init__.py"):
        if Path(file).exists():
            return Place(prepare_import(file), how=f"in {file}, where flask looks too", folder=sys.path[0])
    message = (
        "Name the app to try: --testbed-app myapp:create_app, or testbed_app in the ini file."
        f" No FLASK_APP is set, and neither wsgi.py nor app.py is in {Path.cwd()}."
    )
    raise SubjectError(message)


def best_of(place: Place) -> str:
    """The name of the app in the module: a factory first, since it can make several."""
    found: dict[str, Any] = vars(imported(place.module, f"--testbed-app {str(place)!r}"))
    for name in FACTORIES:
        if inspect.isroutine(found.get(name)):
            return name
    apps = [name for name, value in found.items() if isinstance(value, Flask)]
    for name in GLOBALS:
        if name in apps:
            return name
    if len(apps) == 1:
        return apps[0]
    what = f"several apps ({', '.join(apps)})" if apps else "no app"
    message = (
        f"--testbed-app {str(place)!r}: {place.module!r} has no {' or '.join(FACTORIES)}, and {what}"
        " of its own."
        f" Say which: --testbed-app {place.module}:name."
    )
    raise SubjectError(message)


def kept_in(app: Flask) -> tuple[str, Any] | None:
    """The name of the extension that keeps a session, and the session; inside a context of the app."""
    for name, attribute in EXTENSIONS.items():
        extension = app.extensions.get(name)
        if hasattr(type(extension), attribute) or attribute in getattr(extension, "__dict__", {}):
            found = getattr(extension, attribute)
            return name, found() if inspect.ismethod(found) else found
    return None


def scoped_sessions(modules: Iterable[str]) -> dict[int, str]:
    """Each `scoped_session` that is in those modules, by the name that it has in one of them."""
    found: dict[int, str] = {}
    for module in sorted(modules):
        for name, value in vars(sys.modules.get(module, object)).items():
            if isinstance(value, scoped_session):
                found.setdefault(id(value), f"{module}:{name}")
    return found


def modules_of(roots: Iterable[str]) -> set[str]:
    """The imported modules of the project that these modules belong to: what is beside them, or in them.

    What the environment has installed, and the battery itself, belongs to nobody's project.
    """
    found = set()
    for root in {root.partition(".")[0] for root in roots if root}:
        found |= {name for name in sys.modules if name == root or name.startswith(f"{root}.")}
        folder = _project_of(root)
        for name, module in list(sys.modules.items()) if folder else ():
            path = Path(getattr(module, "__file__", None) or "/")
            if folder and path.is_relative_to(folder) and not INSTALLED & set(path.relative_to(folder).parts):
                found.add(name)
    return {name for name in found if name.partition(".")[0] not in {"flask_sqlalchemy_testbed", "__main__"}}


def _project_of(root: str) -> Path | None:
    file = getattr(sys.modules.get(root), "__file__", None)
    if not file:
        return None
    folder = Path(file).parent.parent if Path(file).name == "__init__.py" else Path(file).parent
    return None if folder.name in INSTALLED else folder


def _read(app: str, option: str) -> Place:
    """`myapp`, `myapp:create_app`, `myapp:create_app('testing')`, `path/app.py:app`."""
    module, _, attribute = app.partition(":")
    folder = ""
    if module.endswith(".py") or os.sep in module:
        if not Path(module).exists():
            message = f"{option} {app!r}: there is no file {module!r} in {Path.cwd()}."
            raise SubjectError(message)
        module, folder = prepare_import(module), sys.path[0]
    call = re.fullmatch(r"(\w+)\((.*)\)", attribute, re.DOTALL)
    if not call:
        if not re.fullmatch(r"[\w.]+", module) or not re.fullmatch(r"[\w.]*", attribute):
            message = f"{option} {app!r} is not of the form module:attribute."
            raise SubjectError(message)
        return Place(module, attribute, folder=folder)
    try:
        arguments = ast.literal_eval(f"({call[2]},)" if call[2].strip() else "()")
    except (ValueError, SyntaxError):
        message = f"{option} {app!r}: only plain values may stand between the parentheses, such as 'testing'."
        raise SubjectError(message) from None
    return Place(module, call[1], arguments, folder=folder)


def _in_dotenv() -> str:
    """FLASK_APP as `flask` reads it from .flaskenv and .env; nothing else of those is looked at."""
    try:
        from dotenv import dotenv_values  # noqa: PLC0415 - it need not be installed
    except ImportError:
        return ""
    for file in (".env", ".flaskenv"):
        if Path(file).is_file() and (name := dotenv_values(file).get("FLASK_APP")):
            return name
    return ""

"""Find the app as `flask` finds it, and import the object that `module:attribute` names."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.cli import prepare_import

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.errors import (
    NOT_INSTALLED,
    NoSuchNameError,
    ReadingError,
    SubjectError,
    remedy_of,
)
from flask_sqlalchemy_testbed.subject.raised import line_of_app

if TYPE_CHECKING:
    from collections.abc import Iterable

# The folders of installed packages.
INSTALLED = {"site-packages", "dist-packages"}
FACTORY_NAMES = ("create_app", "make_app")
APP_NAMES = ("app", "application")
# `flask` imports the modules `wsgi` and `app`, of which the second may be a package.
FILES = ("wsgi.py", "app.py", "app/__init__.py")


@dataclass(frozen=True, slots=True)
class Place:
    """The location of an app."""

    module: str
    attribute: str = ""
    """Empty until `with_attribute`, where only a module is named."""
    arguments: tuple[Any, ...] | None = None
    """The arguments of a call that the user wrote out; None where none is written."""
    found: str = ""
    """A description of the search that found the app; empty if the user named it."""
    folder: str = ""
    """The folder to import the module from, if not every process of the run would find the module."""

    def __str__(self) -> str:
        call = "" if self.arguments is None else f"({', '.join(map(repr, self.arguments))})"
        return f"{self.path}{call}" if self.attribute else self.module

    @property
    def path(self) -> str:
        """Return the app or the factory as `module:attribute`."""
        return f"{self.module}:{self.attribute}"

    @classmethod
    def parse(cls, app: str, option: str) -> Place:
        """Read `myapp`, `myapp:create_app`, `myapp:create_app('testing')` or `path/app.py:app`.

        Args:
            app: the value that the user wrote.
            option: the option that holds the value, for messages.

        Raises:
            SubjectError: it has another form, or there is no such file.
        """
        module, _, attribute = app.partition(":")
        folder = ""
        if module.endswith(".py") or os.sep in module:
            if not Path(module).exists():
                message = f"{option} {app!r}: there is no file {module!r} in {Path.cwd()}."
                raise SubjectError(message)
            module, folder = prepare_import(module), sys.path[0]
        call = re.fullmatch(r"(\w+)\((.*)\)", attribute, re.DOTALL)
        folder = folder or _folder_of(module)
        if not call:
            if not re.fullmatch(r"[\w.]+", module) or not re.fullmatch(r"[\w.]*", attribute):
                message = f"{option} {app!r} is not of the form module:attribute."
                raise SubjectError(message)
            return cls(module, attribute, folder=folder)
        try:
            arguments = ast.literal_eval(f"({call[2]},)" if call[2].strip() else "()")
        except (ValueError, SyntaxError):
            message = (
                f"{option} {app!r}: the arguments are not plain values. Write literals, such as 'testing'."
            )
            raise SubjectError(message) from None
        return cls(module, call[1], arguments, folder=folder)

    def with_attribute(self) -> Place:
        """Import the module and return the place of the best app in it.

        A factory is better than an app, because it can make several apps.

        Raises:
            SubjectError: there is no app in the module, or there are several.
        """
        option = f"{flag('app')} {str(self)!r}"
        members: dict[str, Any] = vars(import_module(self.module, option))
        for name in FACTORY_NAMES:
            if inspect.isroutine(members.get(name)):
                return replace(self, attribute=name)
        apps = [name for name, value in members.items() if isinstance(value, Flask)]
        named = [name for name in APP_NAMES if name in apps]
        if named or len(apps) == 1:
            return replace(self, attribute=(named or apps)[0])
        several = f"several apps ({', '.join(apps)})" if apps else "no app"
        message = (
            f"{option}: the module has no {' or '.join(FACTORY_NAMES)}, and {several}."
            f" Name the app: {flag('app')} {self.module}:NAME."
        )
        raise SubjectError(message)


def locate(app: str) -> Place:
    """Return the place of an app; its module is not imported yet.

    Args:
        app: the value that the user wrote; empty for the app that `flask` finds in the working directory.

    Raises:
        SubjectError: there is no app.
    """
    if app:
        return Place.parse(app, flag("app"))
    if name := os.environ.get("FLASK_APP") or _flask_app_in_dotenv():
        return replace(Place.parse(name, "FLASK_APP"), found="by FLASK_APP")
    for file in FILES:
        if Path(file).exists():
            module = prepare_import(file)
            return Place(module, found=f"in {file}, where flask looks too", folder=sys.path[0])
    message = (
        f"No app was found: FLASK_APP is not set, and neither wsgi.py nor app.py is in {Path.cwd()}."
        f" Name the app: {flag('app')} myapp:create_app."
    )
    raise SubjectError(message)


def find(path: str, option: str) -> Any:
    """Return the object that `module:attribute.path` names, looked up at each call.

    Args:
        path: the module may also be in the working directory.
        option: the option that holds the path, for messages.

    Raises:
        ReadingError: reading the attribute raised.
        NoSuchNameError: the module has no such attribute.
        SubjectError: the module cannot be imported.
    """
    module, attributes = parts_of(path, option)
    found, where = import_module(module, f"{option} {path!r}"), module
    for name in attributes.split("."):
        try:
            found = getattr(found, name)
        except Exception as error:  # A property may need a context, or more.
            if isinstance(error, AttributeError) and inspect.getattr_static(found, name, None) is None:
                raise _no_such_name(path, option, where, name, dir(found)) from error
            line = line_of_app(error)
            message = (
                f"{option} {path!r}: reading {name!r} raised {type(error).__name__}: {error}"
                f"{f', at {line}' if line else ''}"
            )
            raise ReadingError(message) from error
        where = f"{where}{'.' if ':' in where else ':'}{name}"
    return found


def check_name(path: str, option: str) -> None:
    """Refuse a `module:attribute` that cannot exist; nothing is imported.

    Args:
        path: As for `find`.
        option: As for `find`.

    Raises:
        SubjectError: there is no such module, or its code does not have the name.
    """
    module, attributes = parts_of(path, option)
    file, name = file_of(module), attributes.partition(".")[0]
    if not file and find_spec(module.partition(".")[0]) is None:
        message = f"{option} {path!r}: there is no module {module!r}{NOT_INSTALLED}"
        raise SubjectError(message)
    source = Path(file).read_text(encoding="utf-8", errors="replace") if file.endswith(".py") else ""
    # A module may get its names in other ways than by its own code.
    if not source or re.search(r"import \*|__getattr__|globals\(|setattr\(", source):
        return
    names = set(re.findall(r"\w+", source))
    if name not in names:
        raise _no_such_name(path, option, module, name, names)


def parts_of(path: str, option: str) -> tuple[str, str]:
    """Return the module and the attributes of `module:attribute.path`.

    Args:
        path: As for `find`.
        option: As for `find`.

    Raises:
        SubjectError: The path has another form, or there is no such file.
    """
    module, colon, attributes = path.partition(":")
    if module.endswith(".py") and attributes:
        module = Place.parse(path, option).module
    if not (module and colon and attributes):
        message = f"{option} {path!r} is not of the form module:attribute."
        raise SubjectError(message)
    return module, attributes


def _no_such_name(path: str, option: str, where: str, name: str, names: Iterable[str]) -> NoSuchNameError:
    near = get_close_matches(name, set(names) - {name}, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return NoSuchNameError(f"{option} {path!r}: {where!r} has no {name!r}.{hint}")


def file_of(module: str) -> str:
    """Return the file of a module without importing anything; empty if it has none.

    Args:
        module: its full name; it may also be in the working directory.
    """
    spec, places = None, [str(Path.cwd()), *sys.path]
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        places = list(spec.submodule_search_locations or ()) if spec else []
    return (spec.origin if spec else None) or ""


def _folder_of(module: str) -> str:
    """Return the folder that holds a module; empty if each process finds the module, and for no module."""
    spec = PathFinder.find_spec(module.partition(".")[0], [str(Path.cwd()), *sys.path])
    if spec is None:
        return ""
    (place, *_) = spec.submodule_search_locations or [spec.origin or ""]
    folder = Path(place).parent
    return "" if folder == Path.cwd() or folder.name in INSTALLED else str(folder)


def import_module(module: str, option: str) -> Any:
    """Import a module, which may also be in the working directory.

    Args:
        module: its full name.
        option: the option that names it, with its value, for messages.

    Raises:
        SubjectError: the import raised.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        message = f"{option}: importing {module!r} raised {type(error).__name__}: {error}{remedy_of(error)}"
        raise SubjectError(message) from error


def _flask_app_in_dotenv() -> str:
    """Read FLASK_APP from .env and .flaskenv as `flask` does; ignore other variables."""
    try:
        from dotenv import dotenv_values  # noqa: PLC0415 - it need not be installed
    except ImportError:
        return ""
    for file in (".env", ".flaskenv"):
        if Path(file).is_file() and (name := dotenv_values(file).get("FLASK_APP")):
            return name
    return ""

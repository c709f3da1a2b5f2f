"""Undo an app's changes of this process: variables, arguments, imported modules."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.subject.discovery import INSTALLED, file_of, find
from flask_sqlalchemy_testbed.subject.errors import SubjectError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import ModuleType


class Environment:
    """Environment variables of this process, until `restore`."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Return a private folder for files that the variables name."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="testbed-")
        return Path(self._folder.name)

    def remove_files(self) -> None:
        """Remove the folder, since the files may hold a password; the next use makes another."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def set(self, values: Mapping[str, str]) -> None:
        """Set each of these variables to its value."""
        for name, value in values.items():
            self._before.setdefault(name, os.environ.get(name))
            os.environ[name] = value

    def restore(self) -> None:
        """Set the variables to their values before the first `set`, and remove the files."""
        self.remove_files()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()


class Arguments:
    """The command line that the app sees: its own file alone, from `set` to `restore`."""

    def __init__(self, module: str) -> None:
        """Prepare for an app of this module."""
        self._module = module
        self._before: list[str] | None = None

    def set(self) -> None:
        """Hide the command line of this process, which the app could try to read."""
        if self._before is None:
            self._before, sys.argv = sys.argv, [file_of(self._module)]

    def restore(self) -> None:
        """Show the command line again."""
        if self._before is not None:
            sys.argv, self._before = self._before, None


class ProjectModules:
    """The imported modules of the app's project, which can be removed and imported again.

    Modules that this process had imported before, and that are not below a root, stay.
    """

    def __init__(
        self, roots: Iterable[str], known: Iterable[str] = (), *, import_twice: bool | None = None
    ) -> None:
        """Begin before the app is imported, or with the findings of an earlier process.

        Args:
            roots: the modules of the factory and of the session, by name; empty names are ignored.
            known: modules that are known to be the project's.
            import_twice: whether the modules can be imported a second time; None where that is not known yet.
        """
        self.roots = [root for root in dict.fromkeys(roots) if root]
        self.import_twice = import_twice
        self.import_error: SubjectError | None = None
        """Why they cannot be imported a second time, once that was tried."""
        self._known = set(known)
        self._before = set(sys.modules)
        self._removed: dict[str, ModuleType] = {}

    def add_root(self, module: str) -> None:
        """Include the project of another module; an empty name is ignored."""
        if module and module not in self.roots:
            self.roots.append(module)

    def names(self) -> set[str]:
        """Return the names of the project's modules that are imported now."""
        beginnings = tuple(f"{root}." for root in self.roots)
        below = {name for name in sys.modules if f"{name}.".startswith(beginnings)}
        beside = _modules_of(self.roots, set(sys.modules) - self._before)
        return below | (self._known & sys.modules.keys()) | beside

    def remove(self) -> None:
        """Remove the modules, so that the next use imports them again.

        If they cannot be imported twice, they stay.
        """
        if self.import_twice is not False:
            self._removed |= {name: sys.modules.pop(name) for name in self.names()}

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Bring back at the end the modules that are imported now, in place of those imported meanwhile."""
        before = {name: sys.modules[name] for name in self.names()}
        try:
            yield
        finally:
            self.remove()
            if before:
                sys.modules.update(before)
                self._removed.clear()

    def find(self, path: str, option: str) -> Any:
        """Return the object that `module:attribute` names.

        It comes from the first import if a second one fails.

        Args:
            path: as for `discovery.find`.
            option: the same.

        Raises:
            SubjectError: the module cannot be imported, or it has no such attribute.
        """
        try:
            found = find(path, option)
        except SubjectError as error:
            if not self.restore(error):
                raise
        else:
            if self._removed:
                self.import_twice = True
                self._removed.clear()
            return found
        return find(path, option)

    def restore(self, error: SubjectError) -> bool:
        """Bring back the modules of the first import after a second one failed.

        Some libraries keep the objects that a module registers on import, and refuse a second registration.

        Args:
            error: the failure.

        Returns:
            False if this was no second import, or if an earlier second one succeeded.
        """
        if not self._removed or self.import_twice:
            return False
        self.import_twice = False
        self.import_error = error
        for name in self.names():
            del sys.modules[name]
        sys.modules.update(self._removed)
        self._removed.clear()
        return True


def _modules_of(roots: Iterable[str], imported: Iterable[str]) -> set[str]:
    """Return those of the imported modules that are in or beside the roots, but none that is installed."""
    found = set()
    for root in {root.partition(".")[0] for root in roots}:
        found |= {name for name in imported if name == root or name.startswith(f"{root}.")}
        folder = _folder_of(root)
        beside = os.path.join(os.path.normpath(folder), "") if folder else None  # noqa: PTH118 - as below
        for name in imported if beside else ():
            # Thousands of modules are compared each time that an app is made: strings are ten times as fast.
            path = os.path.normpath(getattr(sys.modules.get(name), "__file__", None) or "/")
            if beside and path.startswith(beside) and not INSTALLED & set(Path(path[len(beside) :]).parts):
                found.add(name)
    return {name for name in found if name.partition(".")[0] not in {"flask_sqlalchemy_testbed", "__main__"}}


def _folder_of(root: str) -> Path | None:
    file = getattr(sys.modules.get(root), "__file__", None)
    if not file:
        return None
    folder = Path(file).parent.parent if Path(file).name == "__init__.py" else Path(file).parent
    return None if folder.name in INSTALLED else folder

"""The `server` of databases that are files: a directory of the run's own, in memory where there is such."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import NAME_PATTERN
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.processes import Owner

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend

OWNER_FILE = "owner"
KEPT_FILE = "kept"


class Directory:
    """Holds the database files of one run, which go with it."""

    def __init__(self, backend: Backend, name: str) -> None:
        path = _parent() / name
        path.mkdir(mode=0o700)
        (path / OWNER_FILE).write_text(str(Owner.of(os.getpid())))
        self._use(backend, path)

    def _use(self, backend: Backend, path: Path) -> None:
        self.backend = backend
        self.capabilities = backend.capabilities | {"throwaway"}
        self.url: URL | None = None
        self.path = path
        self.source = f"files in {path}"
        with contextlib.closing(Connection(self._url(":memory:"))) as connection:
            self.version = str(connection.rows(backend.version)[0][0])

    def _url(self, database: str) -> URL:
        from sqlalchemy.engine import URL  # noqa: PLC0415 - imported by `Run.start`

        return URL.create(self.backend.drivername, database=database)

    def create(self, name: str) -> None:
        """Nothing is to be done: the file is made on first use."""

    def locate(self, name: str) -> URL:
        """The URL of the file for that name."""
        return self._url(str(self.path / f"{name}.db"))

    def drop(self, name: str) -> None:
        """Removes the file and what lies beside it, whoever has it open."""
        for file in self.path.glob(f"{name}.db*"):
            file.unlink(missing_ok=True)

    def keep(self, name: str) -> list[str]:
        """Leaves it all after the run; answers how to look into it and how to remove it."""
        (self.path / KEPT_FILE).touch()
        return [f"look:   sqlite3 {self.path / name}.db", f"remove: rm -r {self.path}"]

    def log(self, since: float) -> str:  # noqa: ARG002
        """Files have no log."""
        return ""

    def close(self) -> None:
        """Removes the directory, unless it is kept."""
        if not (self.path / KEPT_FILE).exists():
            shutil.rmtree(self.path, ignore_errors=True)


def sweep() -> list[Path]:
    """Removes the directories of runs that were killed."""
    stale = [
        path for path in _parent().glob("testbed_*") if re.match(NAME_PATTERN, path.name) and _is_stale(path)
    ]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return stale


def _is_stale(path: Path) -> bool:
    try:
        if path.stat().st_uid != os.getuid() or (path / KEPT_FILE).exists():
            return False
        owner = Owner.parse((path / OWNER_FILE).read_text())
    except FileNotFoundError:
        # Between its making and the writing of its owner a run needs far less than this.
        return path.exists() and time.time() - path.stat().st_mtime > 60  # noqa: PLR2004
    return owner is None or (owner.can_be_judged() and not owner.is_alive())


def _parent() -> Path:
    memory = Path("/dev/shm")  # noqa: S108
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())

"""Keep database files in a private directory of the run, in memory if possible."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import NAME_PATTERN, OWN_SESSIONS
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend

MEMORY = Path("/dev/shm")  # noqa: S108 - the directory of a run is private to its user
# Bytes for the databases of a run; Docker's own /dev/shm has four times as many.
ROOM = 16 << 20
PROCESS_FILE = "owner"
KEPT_FILE = "kept"
# A run writes the process file much sooner than this after it has made the directory.
SECONDS_WITHOUT_PROCESS_FILE = 60


class Directory:
    """A `Server` that holds the database files of one run; `close` removes them."""

    def __init__(self, backend: Backend, name: str) -> None:
        self._use(backend, _made(name))

    def _use(self, backend: Backend, path: Path) -> None:
        self.backend = backend
        self.is_reaped = False
        self.capabilities = backend.capabilities | {"throwaway", OWN_SESSIONS}
        self.url: URL | None = None
        self.path = path
        self.source = f"files in {path}"
        with contextlib.closing(Connection(self._url(":memory:"))) as connection:
            self.version = str(connection.rows(backend.version)[0][0])

    def _url(self, database: str) -> URL:
        from sqlalchemy.engine import URL  # noqa: PLC0415 - imported by `Run.start`

        return URL.create(self.backend.drivername, database=database)

    def create(self, name: str) -> None:
        """Do nothing: SQLite creates the file on first use."""

    def locate(self, name: str) -> URL:
        """Return the URL of the file with this name."""
        return self._url(str(self.path / f"{name}.db"))

    def locate_for_app(self, name: str) -> URL:
        """Return the URL of the file with this name."""
        return self.locate(name)

    def drop(self, name: str) -> None:
        """Remove the file and its journals, also if they are open."""
        for file in self.path.glob(f"{name}.db*"):
            file.unlink(missing_ok=True)

    def renew_pooled(self, name: str) -> None:
        """Do nothing: a file has no pooler."""

    def keep(self, name: str) -> list[str]:
        """Leave the directory after the run, and return how to inspect and to remove it."""
        (self.path / KEPT_FILE).touch()
        return [f"look:   sqlite3 {self.path / name}.db", f"remove: rm -r {self.path}"]

    def outage(self) -> str:
        """Return an empty string: files do not end."""
        return ""

    def log(self, since: float) -> str:  # noqa: ARG002 - files have no log
        """Return an empty string."""
        return ""

    def close(self) -> None:
        """Remove the directory, unless it is kept."""
        if not (self.path / KEPT_FILE).exists():
            shutil.rmtree(self.path, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove the directories of runs that were killed, and return them."""
    found = [path for parent in dict.fromkeys(_parents()) for path in parent.glob("testbed_*")]
    stale = [path for path in found if re.match(NAME_PATTERN, path.name) and _is_stale(path)]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return stale


def _is_stale(path: Path) -> bool:
    try:
        if path.stat().st_uid != os.getuid() or (path / KEPT_FILE).exists():
            return False
        process = ProcessId.parse((path / PROCESS_FILE).read_text())
    except FileNotFoundError:
        try:
            return time.time() - path.stat().st_mtime > SECONDS_WITHOUT_PROCESS_FILE
        except FileNotFoundError:  # The run has just removed it.
            return False
    return process is None or process.has_ended()


def room(parent: Path) -> int:
    """Return the bytes that are free in a folder."""
    return shutil.disk_usage(parent).free


def _made(name: str) -> Path:
    """Make the directory in memory, or in the temporary folder where memory is full."""
    problems = []
    for parent in _parents():
        path = parent / name
        try:
            if room(parent) < ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - to try the next one
            path.mkdir(mode=0o700)
            try:
                (path / PROCESS_FILE).write_text(str(ProcessId.of(os.getpid())))
            except OSError:
                shutil.rmtree(path, ignore_errors=True)
                raise
        except OSError as error:
            problems.append(f"{parent}: {error.strerror}")
        else:
            return path
    message = f"No folder can hold the database files ({'; '.join(problems)}). Make room in one of them."
    raise ServerError(message)


def _parents() -> list[Path]:
    return [MEMORY, Path(tempfile.gettempdir())]

"""A way to a database that can be shut, while the database itself goes on."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database


class Gate(Protocol):
    """Shut at first; `uri` leads through it."""

    uri: str

    def open(self) -> None:
        """Let through who comes."""

    def shut(self) -> None:
        """Let nobody through, and end what went through."""


@contextlib.contextmanager
def gate_to(database: Database, backend: Backend, folder: Path) -> Iterator[Gate]:
    """A gate to that database, shut for good in the end; a link to a file is made in `folder`."""
    gate = Port(database) if "server" in backend.capabilities else Link(database, folder)
    try:
        yield gate
    finally:
        gate.shut()


class Link:
    """To a file: a link to its directory."""

    def __init__(self, database: Database, folder: Path) -> None:
        path = Path(database.url.database or "")
        self._directory = path.parent
        self._link = folder / "link"
        self.uri = f"sqlite:///{self._link / path.name}"

    def open(self) -> None:
        """The link is there."""
        self._link.symlink_to(self._directory)

    def shut(self) -> None:
        """The link is gone; who has the file open keeps it."""
        self._link.unlink(missing_ok=True)


class Port:
    """To a server: a port of this machine that leads to it."""

    def __init__(self, database: Database) -> None:
        self._target = (database.url.host or "", database.url.port or 0)
        # Taken, but nobody listens: who comes is refused, and nobody else gets it.
        self._port = socket.socket()
        self._port.bind(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        host, port = self._port.getsockname()
        self.uri = database.url.set(host=host, port=port).render_as_string(hide_password=False)

    def open(self) -> None:
        """Somebody listens."""
        self._port.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """The port is given back, and both ends of each connection learn that it is over."""
        for end in (self._port, *self._ends):
            # A close alone would not wake the threads.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._port.accept()
                server = socket.create_connection(self._target)
                self._ends += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)

"""Ways to a database that can be closed while the database itself continues."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.subject import guard


class Link:
    """A gate to a file: a symbolic link to its directory. Files that are open stay open."""

    def __init__(self, database: Database, folder: Path) -> None:
        path = Path(database.url.database or "")
        self._directory = path.parent
        self._link = folder / "link"
        guard.allow_file(self._link / path.name)
        self.uri = f"sqlite:///{self._link / path.name}"

    def open(self) -> None:
        """Make the link."""
        self._link.symlink_to(self._directory)

    def shut(self) -> None:
        """Remove the link."""
        self._link.unlink(missing_ok=True)


class Port:
    """A gate to a server: a port of this machine from which connections are forwarded."""

    def __init__(self, database: Database) -> None:
        self.lead_to(database)
        # Bound without a listener: connections are refused, and no other process gets the port.
        self._port = socket.socket()
        self._port.bind(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        host, port = self._port.getsockname()
        self.uri = database.app_url.set(host=host, port=port).render_as_string(hide_password=False)

    def lead_to(self, database: Database) -> None:
        """Forward later connections to the server of this database, as after a failover."""
        self._target = (database.app_url.host or "", database.app_url.port or 0)

    def open(self) -> None:
        """Accept connections."""
        self._port.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Release the port, and close both ends of each connection."""
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
                    threading.Thread(target=_forward, args=pair, daemon=True).start()


@contextlib.contextmanager
def gate_to(database: Database, folder: Path) -> Iterator[Link | Port]:
    """Yield a gate to the database, at first closed; connections to its `uri` go through it.

    For a database that is a file, the gate is a link in `folder`.
    """
    gate = Port(database) if "server" in database.backend.capabilities else Link(database, folder)
    try:
        yield gate
    finally:
        gate.shut()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)

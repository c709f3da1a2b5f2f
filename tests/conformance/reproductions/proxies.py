"""Proxies between an app and its database that fail as networks and servers do."""

import contextlib
import ctypes
import socket
import struct
import threading
from pathlib import Path

from sqlalchemy import make_url


class ClosedProxy:
    """A database that cannot be reached until `open` is called.

    It is a file behind a link, or a server behind a port.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        url = make_url(uri)
        if url.get_backend_name() == "sqlite":
            file, link = Path(str(url.database)), folder / "link"
            self.uri = f"sqlite:///{link / file.name}"
            self.open = lambda: link.symlink_to(file.parent)
        else:
            # Bound, but not listening: connections are refused.
            port = socket.socket()
            port.bind(("127.0.0.1", 0))
            self.uri = through(uri, port)
            self.open = lambda: serve(port, (str(url.host), int(url.port or 0)), [], threading.Event())


class Proxy:
    """A port of this machine that forwards to a server."""

    def __init__(self, uri: str) -> None:
        url = make_url(uri)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = through(uri, self._listener)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._frozen = threading.Event()
        serve(self._listener, (str(url.host), int(url.port or 0)), self._pairs, self._frozen)

    def end_connections(self) -> None:
        """Close all connections, as a server does that stops; new ones are forwarded."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def freeze(self) -> None:
        """Accept all data and forward none of it."""
        self._frozen.set()

    def drop_all(self) -> None:
        """Lose all packets without an error: have the kernel drop them."""
        nothing = struct.pack("HBBI", 0x06, 0, 0, 0)
        for end in [client for client, _ in self._pairs] + [self._listener]:
            kept = ctypes.create_string_buffer(nothing)
            program = struct.pack("HL", 1, ctypes.addressof(kept))
            end.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_ATTACH_FILTER", 26), program)


def through(uri: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return make_url(uri).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


def serve(
    listener: socket.socket,
    target: tuple[str, int],
    pairs: list[tuple[socket.socket, socket.socket]],
    frozen: threading.Event,
) -> None:
    """Accept connections, and forward data both ways until `frozen` is set."""
    listener.listen()

    def forward(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if frozen.is_set():
                    threading.Event().wait()
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            pairs.append((client, server))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=forward, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()

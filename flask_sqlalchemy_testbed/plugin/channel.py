"""What the workers of a parallel run and its controller say to each other.

Each worker asks over a connection of its own, on this machine, with a key that it was given over its pipe:
what is said, passwords too, is in no argument, in no environment and in no file.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener, answer_challenge, deliver_challenge
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.backends.base import new_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from flask_sqlalchemy_testbed.servers.sharing import Loan


# Workers that may connect at the same moment; the default of `Listener` is 1, and the others hang.
BACKLOG = 128
# Seconds for each step of the handshake, and for an answer: a server may have to be started first.
HANDSHAKE, ANSWER = 30.0, 600.0


class RefusedError(Exception):
    """The controller could not do what it was asked for; the message is its own."""


class Workers:
    """The workers, as the controller sees them: each is answered on a thread by what `answers` names."""

    def __init__(self) -> None:
        self.run = new_name()
        self.answers: dict[str, Callable[..., object]] = {}
        self._key = secrets.token_bytes(32)
        self._listener: Listener | None = None
        self._over = False

    def card(self, worker: str) -> dict[str, Any]:
        """What that worker needs to be heard, in plain values; from now on somebody listens."""
        if self._listener is None:
            self._listener = Listener(("127.0.0.1", 0), backlog=BACKLOG)
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()
        host, port = self._listener.address
        return {"run": f"{self.run}_{worker}", "host": host, "port": port, "key": self._key}

    def close(self) -> None:
        """Nobody listens any more."""
        self._over = True
        if self._listener is not None:
            # Nothing else wakes who waits for the next to call.
            with contextlib.suppress(OSError, EOFError, AuthenticationError):
                Client(self._listener.address).close()

    def _accept(self, listener: Listener) -> None:
        with listener:
            while not self._over:
                with contextlib.suppress(OSError, EOFError, AuthenticationError):
                    connection = listener.accept()
                    threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        # A worker that is gone asks nothing more.
        with connection, contextlib.suppress(EOFError, OSError, AuthenticationError):
            # In this thread: a client that says nothing must not hold up the others.
            deliver_challenge(_Bounded(connection), self._key)  # type: ignore[arg-type]
            answer_challenge(_Bounded(connection), self._key)  # type: ignore[arg-type]
            while True:
                word, arguments = connection.recv()
                connection.send(self._answer(word, arguments))

    def _answer(self, word: str, arguments: tuple[object, ...]) -> tuple[bool, object]:
        try:
            return True, self.answers[word](*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the worker who has to know
            return False, str(error) or type(error).__name__


class Controller:
    """The controller, as a worker sees it; it is called on first use."""

    def __init__(self, run: str, host: str, port: int, key: bytes) -> None:
        self.run = run
        """What the worker's part of the run is called."""
        self._address = host, port
        self._key = key
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def ask(self, word: str, *arguments: object) -> Any:
        """What it answers; `RefusedError` where it cannot, `OSError` or `EOFError` where it is gone."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = Client(self._address)
                    answer_challenge(_Bounded(self._connection), self._key)  # type: ignore[arg-type]
                    deliver_challenge(_Bounded(self._connection), self._key)  # type: ignore[arg-type]
                self._connection.send((word, arguments))
                done, answer = _received(self._connection)
            except BaseException:
                # The answer to this is not to be taken for that to the next.
                self.close()
                raise
        if not done:
            raise RefusedError(answer)
        return answer

    def close(self) -> None:
        """Hangs up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _received(connection: Connection) -> Any:
    if not connection.poll(ANSWER):
        raise TimeoutError
    return connection.recv()


class _Bounded:
    """The connection during the handshake, whose steps have a time limit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.send_bytes = connection.send_bytes

    def recv_bytes(self, size: int) -> bytes:
        if not self._connection.poll(HANDSHAKE):
            raise TimeoutError
        return self._connection.recv_bytes(size)


class Owner:
    """The controller, as the owner of the servers that a worker's part of the run uses."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def lend(self, backend: str) -> Loan:
        """The server of that backend, as `flask_sqlalchemy_testbed.run` wants it."""
        from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415

        try:
            return self._controller.ask("lend", backend)  # type: ignore[no-any-return]
        except RefusedError as error:
            raise ServerError(str(error)) from None

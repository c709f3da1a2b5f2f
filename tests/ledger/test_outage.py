"""The app answers 503 while its database is away or frozen, and then recovers."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from app import create_app
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.battery.gates import gate_to
from flask_sqlalchemy_testbed.databases import Database


def test_the_app_starts_while_its_database_is_away_and_recovers_without_a_restart(
    testbed_database: Database, tmp_path: Path
) -> None:
    with gate_to(testbed_database, tmp_path) as gate:
        client = create_app({"DATABASE_URI": gate.uri}).test_client()
        assert client.get("/readyz").status_code == 503
        gate.open()

        assert client.get("/readyz").status_code == 200
        client.application.extensions["database"].engine.dispose()


# Limits the wait for an answer to one second.
WAIT_LIMITS: dict[str, dict[str, Any]] = {
    "postgresql": {"DATABASE_WAIT_SECONDS": 1},
    "mysql": {"DATABASE_ENGINE_OPTIONS": {"connect_args": {"read_timeout": 1}}},
}


class Proxy:
    """A port that forwards to a server until it is frozen.

    Then it accepts data and forwards none.
    """

    def __init__(self, uri: str) -> None:
        url = make_url(uri)
        self._target = (url.host or "", url.port or 0)
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = url.set(host="127.0.0.1", port=self._listener.getsockname()[1]).render_as_string(
            hide_password=False
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._flowing.clear()

    def close(self) -> None:
        self._flowing.set()
        # close() alone would not wake the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def no_wait_limit_afterwards() -> Iterator[None]:
    """Lift the limit of psycopg2, which is one for the whole process."""
    yield
    if psycopg2 := sys.modules.get("psycopg2"):
        psycopg2.extensions.set_wait_callback(None)


@pytest.mark.testbed_needs("server")
@pytest.mark.usefixtures("no_wait_limit_afterwards")
def test_a_server_that_is_frozen_as_a_whole_does_not_block_a_request_forever(
    database_uri: str, testbed_backend: Backend
) -> None:
    with contextlib.closing(Proxy(database_uri)) as proxy:
        client = create_app({"DATABASE_URI": proxy.uri, **testbed_backend.of(WAIT_LIMITS)}).test_client()
        assert client.get("/readyz").status_code == 200
        proxy.freeze()
        began = time.monotonic()

        assert client.get("/readyz").status_code == 503
        # The time for the ping of the pooled connection, and for a new connection.
        assert time.monotonic() - began < 10

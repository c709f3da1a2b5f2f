"""The app while its database is away: it starts, answers 503, and goes on by itself once it is back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from psycopg2.extensions import set_wait_callback
from sqlalchemy import make_url

from app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from flask_sqlalchemy_testbed.backends import Backend
    from flask_sqlalchemy_testbed.databases import Database


class Way(Protocol):
    """A way to the test's database that can be shut."""

    uri: str

    def open(self) -> None: ...
    def shut(self) -> None: ...


class Link:
    """To a file: a link to its folder."""

    def __init__(self, uri: str, folder: Path) -> None:
        path = Path(make_url(uri).database or "")
        self._target = path.parent
        self._link = folder / "link"
        self.uri = f"sqlite:///{self._link / path.name}"

    def open(self) -> None:
        self._link.symlink_to(self._target)

    def shut(self) -> None:
        self._link.unlink(missing_ok=True)


class Gate:
    """To a server: a port that leads to it."""

    def __init__(self, uri: str) -> None:
        url = make_url(uri)
        self._target = (url.host or "", url.port or 0)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._listener: socket.socket | None = None
        self._through: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self.uri = url.set(host="127.0.0.1", port=self._port).render_as_string(hide_password=False)

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        self._flowing.set()
        if self._listener is not None:
            # A close alone would not wake the thread that accepts.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        while self._through:
            with contextlib.suppress(OSError):
                self._through.pop().shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Keep every connection, and let nothing through: as a server that is paused."""
        self._flowing.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                self._through += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture
def way(testbed_database: Database, testbed_backend: Backend, tmp_path: Path) -> Iterator[Way]:
    way = (
        Gate(testbed_database.uri)
        if "server" in testbed_backend.capabilities
        else Link(testbed_database.uri, tmp_path)
    )
    yield way
    way.shut()


@pytest.fixture
def client(way: Way) -> FlaskClient:
    return create_app({"DATABASE_URI": way.uri}).test_client()


def test_the_app_starts_while_its_database_is_away_and_answers_503(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.mimetype == "application/problem+json"
    assert client.get("/healthz").status_code == 200


def test_the_app_recovers_without_a_restart(client: FlaskClient, way: Way) -> None:
    assert client.get("/readyz").status_code == 503
    way.open()

    assert client.get("/readyz").status_code == 200


def test_the_app_outlives_its_databases_restart(client: FlaskClient, way: Way) -> None:
    way.open()
    assert client.get("/readyz").status_code == 200
    way.shut()
    client.application.extensions["database"].engine.dispose()
    assert client.get("/readyz").status_code == 503
    way.open()

    assert client.get("/readyz").status_code == 200


@pytest.mark.testbed_needs("server")
def test_a_server_that_restarted_between_two_requests_fails_neither(client: FlaskClient, way: Way) -> None:
    way.open()
    assert client.get("/readyz").status_code == 200
    way.shut()
    way.open()

    assert client.get("/readyz").status_code == 200


@pytest.mark.testbed_needs("server")
def test_the_503_does_not_tell_the_password(client: FlaskClient, way: Way) -> None:
    password = make_url(way.uri).password

    assert password
    assert f":{password}@" not in client.get("/readyz").text


# How the wait for an answer is bounded to a second.
BOUNDS: dict[str, dict[str, Any]] = {
    "postgresql": {"DATABASE_WAIT_SECONDS": 1},
    "mysql": {"DATABASE_ENGINE_OPTIONS": {"connect_args": {"read_timeout": 1}}},
}


@pytest.mark.testbed_needs("server")
def test_a_server_that_is_frozen_whole_holds_no_request_for_ever(way: Gate, testbed_backend: Backend) -> None:
    client = create_app({"DATABASE_URI": way.uri, **BOUNDS[testbed_backend.name]}).test_client()
    try:
        way.open()
        assert client.get("/readyz").status_code == 200
        way.freeze()
        began = time.monotonic()

        assert client.get("/readyz").status_code == 503
        # The ping of the pooled connection, and a new one that is no better.
        assert time.monotonic() - began < 10
    finally:
        set_wait_callback(None)

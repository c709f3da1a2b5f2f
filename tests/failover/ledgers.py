"""Serve the ledger in this process, on an address that leads to a pair of servers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask import Flask
from psycopg2.extensions import set_wait_callback
from sqlalchemy.engine import URL

from app import create_app
from app.database import create_all, get_engine
from flask_sqlalchemy_testbed.servers.pairs import Pair
from flask_sqlalchemy_testbed.subject import guard
from tests.stack.api import Answer, Api


class Ledger(Api):
    """One app, which the threads of the clients call without a server in between."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        _, _, rest = path.removeprefix("/").partition("/")
        response = self.app.test_client().open(f"/{rest}", method=method, json=body, headers=headers)
        return Answer(response.status_code, dict(response.headers), response.get_json())


@contextmanager
def ledger_on(url: URL, **config: object) -> Iterator[Ledger]:
    """Make an app on an empty database and its tables; at the end dispose of its engine."""
    guard.allow(url)
    app = create_app({"DATABASE_URI": url, **config})
    with app.app_context():
        create_all()
    try:
        yield Ledger(app)
    finally:
        with app.app_context():
            get_engine().dispose()
        # DATABASE_WAIT_SECONDS holds for the whole process.
        set_wait_callback(None)


def through_gate(pair: Pair) -> URL:
    """Return the address of HAProxy."""
    return pair.url


def through_driver(pair: Pair) -> URL:
    """Return the addresses of both servers, of which libpq chooses the one that takes writes."""
    hosts = tuple(f"{url.host}:{url.port}" for url in pair.hosts)
    return pair.url.set(host=None, port=None, query={"host": hosts, "target_session_attrs": "read-write"})

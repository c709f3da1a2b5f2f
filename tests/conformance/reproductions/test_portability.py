"""Behaviour of the databases that depends on the settings of a connection."""

import contextlib
from datetime import UTC, datetime, timedelta

from sqlalchemy import NullPool, create_engine, delete, func, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from plain import Item, Part, make, names, of, outside, session


def test_foreign_keys(uri: str) -> None:
    with make(uri).app_context():
        refused = False
        try:
            session().execute(insert(Part).values(item_id=1))
        except IntegrityError:
            refused = True

    assert refused, "a row that refers to no row is accepted"


def test_cascade(uri: str) -> None:
    with make(uri).app_context():
        session().execute(insert(Item).values(id=1, name="whole"))
        session().execute(insert(Part).values(item_id=1))
        session().execute(delete(Item))
        left = session().scalar(select(func.count(Part.id)))

    assert left == 0, "ON DELETE CASCADE leaves the row that referred to the deleted one"


def test_writer_lets_go(uri: str) -> None:
    app = make(uri)
    app.add_url_rule(
        "/reproduction/write", view_func=lambda: str(session().execute(update(Item).values(name="x")))
    )
    outside(uri, "INSERT INTO item (name) VALUES ('old')")
    app.test_client().get("/reproduction/write")

    short_timeout = {
        "sqlite": "",
        "postgresql": "SET lock_timeout = '200ms'",
        "mysql": "SET innodb_lock_wait_timeout = 1",
    }
    with contextlib.suppress(DBAPIError):
        update_outside(uri, of(uri, short_timeout))
    assert names(uri) == ["new"], "no other connection can write after a request that did not commit"


def update_outside(uri: str, setting: str) -> None:
    with create_engine(uri, poolclass=NullPool).begin() as connection:
        if setting:
            connection.execute(text(setting))
        connection.execute(text("UPDATE item SET name = 'new'"))


def test_time_zone_of_the_server(uri: str) -> None:
    url = make_url(uri)
    if url.get_backend_name() == "postgresql":
        outside(uri, f"ALTER DATABASE {url.database} SET timezone = 'Asia/Tokyo'")
        with make(uri).app_context():
            now = session().scalar(text("SELECT LOCALTIMESTAMP"))
        ahead = round((now - datetime.now(UTC).replace(tzinfo=None)) / timedelta(hours=1))
        assert ahead == 0, f"with the database in Tokyo, its clock is {ahead} hours ahead of UTC"
    if url.get_backend_name() in {"mysql", "mariadb"}:
        with make(uri).app_context():
            zone = session().scalar(text("SELECT @@session.time_zone"))
        assert zone in {"+00:00", "UTC"}, f"the time zone of the connection is {zone}, the one of the server"

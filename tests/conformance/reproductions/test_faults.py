"""Later requests succeed after the database has failed."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from sqlalchemy import event, make_url, select, text
from sqlalchemy.exc import DBAPIError

from plain import Item, make, of, outside, pool_of, seen, session
from proxies import Proxy

SESSIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}
END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
IDLE = {"postgresql": "SET idle_session_timeout = '100ms'", "mysql": "SET SESSION wait_timeout = 1"}
HELD = {**IDLE, "postgresql": "SET idle_in_transaction_session_timeout = '100ms'"}
# Upper bounds for the limits that the peer has set.
LIMITS = {
    "postgresql": {"connect_timeout": 2, "tcp_user_timeout": 500},
    "mysql": {"connect_timeout": 1, "read_timeout": 1, "write_timeout": 1},
}
BOUND = 8.0


def sessions(uri: str) -> list[int]:
    return [number for (number,) in outside(uri, of(uri, SESSIONS))]


def end_sessions(uri: str) -> None:
    for number in sessions(uri):
        outside(uri, of(uri, END).format(number))
    wait_until_sessions_end(uri)


def wait_until_sessions_end(uri: str) -> None:
    wait_until(lambda: not sessions(uri))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def answers(app: Flask, times: int = 1) -> list[int]:
    return [app.test_client().get("/reproduction/seen").status_code for _ in range(times)]


def app_with_view(uri: str) -> Flask:
    app = make(uri)
    app.add_url_rule("/reproduction/seen", view_func=seen)
    return app


def test_lost_between_requests(uri: str) -> None:
    app = app_with_view(uri)
    answers(app)
    end_sessions(uri)

    found = answers(app, 2)
    assert found == [200, 200], f"after the server has ended the idle connections, requests answer {found}"


def test_restart(uri: str) -> None:
    proxy = Proxy(uri)
    app = app_with_view(proxy.uri)
    answers(app)
    proxy.end_connections()

    found = answers(app, 2)
    assert found == [200, 200], f"after all connections went down, as in a restart, requests answer {found}"


def test_demoted_primary(uri: str) -> None:
    app = app_with_view(uri)
    names = itertools.count()

    @app.get("/reproduction/write")
    def write() -> str:
        session().add(Item(name=f"{next(names)}"))
        session().commit()
        return ""

    become_read_only, stay_so_for_open_connections = of(uri, DEMOTE)
    become_read_only(uri)
    answers(app)
    stay_so_for_open_connections(uri)

    found = [app.test_client().get("/reproduction/write").status_code for _ in range(3)]
    assert found[1:] == [200, 200], f"on a connection to a demoted primary, writing requests answer {found}"


def set_default_of_database(uri: str, value: str) -> None:
    """Change the default that later connections to PostgreSQL get; open ones keep theirs."""
    url = make_url(uri)
    writing = url.update_query_dict({"options": "-c default_transaction_read_only=off"})
    outside(
        writing.render_as_string(hide_password=False),
        f"ALTER DATABASE {url.database} SET default_transaction_read_only = {value}",
    )


def refuse_listed_connections(uri: str) -> None:
    """Have MySQL refuse writes on the connections that a table lists, as a read-only server does."""
    # A table without transactions: a transaction that began before sees rows that are added to it.
    outside(uri, "CREATE TABLE demoted (id BIGINT) ENGINE = MyISAM")
    outside(
        uri,
        "CREATE TRIGGER refuse BEFORE INSERT ON item FOR EACH ROW"
        " IF CONNECTION_ID() IN (SELECT id FROM demoted) THEN"
        " SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT = 'The MySQL server is running with"
        " the --super-read-only option so it cannot execute this statement'; END IF",
    )


def list_open_connections(uri: str) -> None:
    outside(uri, f"INSERT INTO demoted {SESSIONS['mysql']}")


DEMOTE: dict[str, tuple[Callable[[str], None], Callable[[str], None]]] = {
    "postgresql": (
        lambda uri: set_default_of_database(uri, "on"),
        lambda uri: set_default_of_database(uri, "off"),
    ),
    "mysql": (refuse_listed_connections, list_open_connections),
}


def test_endless_wait(uri: str) -> None:
    app = make(uri)
    limit = {
        "postgresql": "SELECT max(setting::int) / 1000 FROM pg_settings"
        " WHERE name IN ('lock_timeout', 'statement_timeout')",
        "mysql": "SELECT @@lock_wait_timeout",
    }
    query = text(of(uri, limit))
    with app.app_context():
        seconds = session().scalar(query)

    assert 0 < seconds <= 300, (
        f"the limit for a wait for a locked table is {seconds or 'no number of'} seconds"
    )


def test_idle_timeout(uri: str) -> None:
    app = app_with_view(uri)
    with app.app_context():
        session().execute(text(of(uri, IDLE)))
        session().commit()
    wait_until_sessions_end(uri)

    found = answers(app)
    assert found == [200], f"after the server's idle timeout, a request answers {found[0]}"


def test_held_too_long(uri: str) -> None:
    app = app_with_view(uri)

    @app.get("/reproduction/hold")
    def hold() -> str:
        session().execute(text(of(uri, HELD)))
        wait_until_sessions_end(uri)
        return str(seen())

    app.test_client().get("/reproduction/hold")
    found = answers(app, 2)
    assert found == [200, 200], f"after a request that lost its transaction, requests answer {found}"


def test_swallowed_loss(uri: str) -> None:
    app = app_with_view(uri)

    @app.get("/reproduction/swallow")
    def swallow() -> str:
        session().execute(select(Item.id))
        end_sessions(uri)
        with contextlib.suppress(DBAPIError):
            session().execute(select(Item.id))
        return ""

    app.test_client().get("/reproduction/swallow")
    found = answers(app, 2)
    assert found == [200, 200], f"after a request that swallowed the loss, requests answer {found}"


def test_lost_in_transaction(uri: str) -> None:
    app = app_with_view(uri)

    @app.get("/reproduction/two")
    def two() -> str:
        session().add(Item(name="first"))
        session().flush()
        end_sessions(uri)
        session().add(Item(name="second"))
        session().commit()
        return ""

    app.test_client().get("/reproduction/two")
    found = answers(app, 2)
    assert found == [200, 200], f"after a request that lost its connection, requests answer {found}"


def test_stopped_mid_query(uri: str) -> None:
    proxy = Proxy(uri)
    app = app_with_view(proxy.uri)

    @app.get("/reproduction/slow")
    def slow() -> str:
        session().execute(select(Item.id))
        proxy.end_connections()
        return str(seen())

    app.test_client().get("/reproduction/slow")
    found = answers(app, 2)
    assert found == [200, 200], f"after a request whose server went away, requests answer {found}"


def test_half_open(uri: str) -> None:
    answered(uri, lambda proxy: proxy.drop_all())


def test_paused(uri: str) -> None:
    answered(uri, lambda proxy: proxy.freeze())


def answered(uri: str, fail: Callable[[Proxy], None]) -> None:
    proxy = Proxy(uri)
    app = app_with_view(proxy.uri)
    shorten_limits(app, uri)
    # On a busy machine, a request that succeeds may take longer than the limits.
    wait_until(lambda: answers(app) == [200])
    fail(proxy)
    thread = threading.Thread(target=answers, args=(app,), daemon=True)
    thread.start()
    thread.join(BOUND)

    assert not thread.is_alive(), f"a request still waits after {BOUND:g} s"


def shorten_limits(app: Flask, uri: str) -> None:
    """Shorten the limits that the peer has set; set none that it has not."""

    def connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        for name, most in of(uri, LIMITS).items():
            if options.get(name):
                options[name] = min(type(most)(options[name]), most)

    with app.app_context():
        event.listen(session().get_bind(), "do_connect", connect)


def test_pool_exhausted(uri: str) -> None:
    app = app_with_view(uri)
    pool = pool_of(app)
    answered = threading.Barrier(4)

    def work() -> None:
        answers(app)
        answered.wait(BOUND)
        # The threads of a server stay alive after a request.
        threading.Event().wait(BOUND)

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    answers(app)
    answered.wait(BOUND)

    lent = pool.checkedout()
    assert lent == 0, f"{lent} connections are still checked out after the requests"


def test_disk_full(uri: str) -> None:
    refused_write(uri)


def test_file_full(uri: str) -> None:
    refused_write(uri)


def refused_write(uri: str) -> None:
    """Have the database refuse a write: the reason does not matter, here a missing name."""
    app = app_with_view(uri)
    pool = pool_of(app)

    @app.get("/reproduction/write")
    def write() -> str:
        session().add(Item(name=None))
        session().commit()
        return ""

    app.test_client().get("/reproduction/write")
    found = answers(app)
    assert found == [200], f"after a write that the server refused, a request answers {found[0]}"
    assert pool.checkedout() == 0, (
        f"{pool.checkedout()} connection is still checked out after the refused write"
    )

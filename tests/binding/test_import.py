"""Promise 1: importing opens nothing and needs no configuration."""

import gc
import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import text

from app.database import UnboundError, create_all, db_session, drop_all, get_engine
from app.database.bindings import Binding

WATCHED = """
import os, sys

opened = []
for name in list(os.environ):
    if name.startswith(("APP_", "DATABASE_", "POSTGRESQL_", "MYSQL_")):
        del os.environ[name]

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "sqlite3.connect"):
        opened.append((event, arguments))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        opened.append((event, arguments))

sys.dont_write_bytecode = True
sys.addaudithook(watch)
import app.database
from app.database import db_session
if len(sys.argv) > 1:
    app.create_app({"DATABASE_URI": sys.argv[1]})
sys.exit(str(opened) if opened else 0)
"""


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-c", WATCHED, *arguments], check=True, timeout=30)


def test_importing_the_app_opens_nothing() -> None:
    run()


def test_a_factory_call_opens_nothing(database_uri: str) -> None:
    run(database_uri)


@pytest.mark.parametrize(
    "use", [lambda: db_session.execute(text("SELECT 1")), get_engine, create_all, drop_all]
)
def test_use_before_any_engine_says_what_to_call(
    use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    gc.collect()  # of apps of earlier tests
    monkeypatch.setattr(Binding, "collected", "")
    with pytest.raises(
        UnboundError, match=r"^No engine is bound. Call create_app\(config\), or init_engine\(uri\), first.$"
    ):
        use()


def test_remove_before_any_engine_does_nothing() -> None:
    db_session.remove()

    assert not db_session.registry.has()

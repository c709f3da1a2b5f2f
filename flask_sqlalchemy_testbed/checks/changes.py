"""The lines of code that mend causes, with placeholders for the names of the app.

`TERMS` in `causes.py` has the placeholders: `SESSION`, `END`, `ENGINE` and `APP` stand for the app's session,
the call that ends it, its engine and the variable of the app; `APPS_ENGINE` for its engine where the app is
made; `IMPORT` for the import of a session that another module defines.
"""

CLONE = "the clone of the testbed's repository"
"""The place of the files in `app/`; the installed package does not have them."""

REMOVE_LAST = (
    "Set app.do_teardown_appcontext to a function that calls the original one in `try`, and session.remove()"
    " in `finally`, directly after the line that makes the app. It replaces a teardown_appcontext callback of"
    " your own that removes the session: do not keep both. The callback of a library, such as"
    " Flask-SQLAlchemy, stays."
)
"""The change of `REMOVE` in words, for the checks."""

# For an engine that has no name in the app's code.
NAMED = "engine = create_engine(...)  # the line that makes the engine: give it a name"

REMOVE = """\
IMPORTdef remove_at_the_end(*args, teardown=APP.do_teardown_appcontext, **options):
    try:
        teardown(*args, **options)
    finally:
        LASTLY


APP.do_teardown_appcontext = remove_at_the_end"""

BY_CONTEXT = """\
from flask.globals import app_ctx
from sqlalchemy.orm import scoped_session

SESSION = scoped_session(FACTORY, scopefunc=app_ctx._get_current_object)"""

_APP_SESSION = """\
class AppSession(orm.Session):
    def __init__(self, bind=None, **options):
        super().__init__(bind=bind or current_app.extensions["engine"], **options)
"""
_KEPT = """\
# KEPT_PLACE:
APP.extensions["engine"] = KEPT"""

BY_APP = f"""\
# In place of the line that makes the session:
from flask import current_app
from flask.globals import app_ctx
from sqlalchemy import orm


{_APP_SESSION}

SESSION = orm.scoped_session(
    orm.sessionmaker(class_=AppSessionOPTIONS), scopefunc=app_ctx._get_current_object
)

{_KEPT}"""

# For a session that a function of the app returns, which has a scope of its own.
BY_APP_IN_FUNCTION = f"""\
# MAKER_PLACE:
from flask import current_app
from sqlalchemy import orm


{_APP_SESSION}

MAKER

{_KEPT}"""

DISPOSE = """\
from weakref import finalize

finalize(APP, APPS_ENGINE.dispose)"""

FOREIGN_KEYS = """\
from sqlalchemy import event

if ENGINE.name == "sqlite":
    event.listen(
        ENGINE, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON")
    )"""

# As SQLAlchemy's documentation of SQLite describes it. After a read, SQLite refuses the lock for writers at
# once while another transaction has it; BEGIN IMMEDIATE waits for it.
BEGIN = """\
from flask import has_request_context, request
from sqlalchemy import event
from sqlalchemy.pool import StaticPool


def begin_sqlite(connection):
    # A request that reads and then writes must take the lock of SQLite before it reads.
    may_write = has_request_context() and request.method not in {"GET", "HEAD", "OPTIONS"}
    options = connection.get_execution_options()
    mode = options.get("sqlite_begin", "IMMEDIATE" if may_write else "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


# Threads that share one connection share its transaction, too.
if ENGINE.name == "sqlite" and not isinstance(ENGINE.pool, StaticPool):
    event.listen(
        ENGINE, "connect", lambda connection, _: setattr(connection, "isolation_level", None)
    )
    event.listen(ENGINE, "begin", begin_sqlite)"""

SQLITE_URL = """\
from pathlib import Path

from sqlalchemy import make_url

url = make_url(...)  # the URI that MAKES_ENGINE gets now; give it this url instead
if url.get_backend_name() == "sqlite":
    if url.database in {None, "", ":memory:"}:
        # All connections share it, and other apps have another.
        url = url.set(database=f"file:/{id(APP)}", query={"vfs": "memdb", "uri": "true"})
    elif not url.database.startswith("file:"):
        Path(APP.instance_path).mkdir(parents=True, exist_ok=True)
        url = url.set(database=str(Path(APP.instance_path, url.database)))AS_TEXT"""

_IN_MEMORY = """\
from sqlalchemy.pool import SingletonThreadPool, StaticPool

# A database in memory ends with its connections, which must stay open.
in_memory = isinstance(ENGINE.pool, (SingletonThreadPool, StaticPool)) or "vfs" in ENGINE.url.query
"""

# Imports of names, not of modules: in a function that uses `os` before, `import os` would hide it there.
# A strong reference would keep the engine after its app.
FORK = f"""\
from os import register_at_fork
from weakref import ref

{_IN_MEMORY}

def leave_connections_to_the_parent(engine=ref(ENGINE)):
    if engine() is not None:
        engine().dispose(close=False)


if not in_memory:
    register_at_fork(after_in_child=leave_connections_to_the_parent)"""

STREAM = """\
from contextvars import copy_context


class Body:
    def __init__(self, context, chunks):
        self.context, self.chunks, self.iterator = context, chunks, iter(chunks)

    def __iter__(self):
        return self

    def __next__(self):
        return self.context.run(next, self.iterator)

    def close(self):
        if hasattr(self.chunks, "close"):
            self.context.run(self.chunks.close)


def respond(environ, start_response, wsgi_app=APP.wsgi_app):
    context = copy_context()
    return Body(context, context.run(wsgi_app, environ, start_response))


APP.wsgi_app = respond"""

RESET = f"""\
from reset import reset_at_return  # your copy; in a package: from .reset
{_IN_MEMORY}
if not in_memory:
    reset_at_return(ENGINE, always=False)"""

ERRORS = """\
from errors import act_on_errors  # your copy; in a package: from .errors

act_on_errors(ENGINE)"""

UNREAD = """\
from streams import discard_unread_rows  # your copy; in a package: from .streams

discard_unread_rows(ENGINE)"""

TABLES = """\
@APP.cli.command("create-tables")
def create_tables():
    ...  # the lines that connect to the database"""

# It depends on the dialect by itself, also in an app that uses another database in its tests.
CONNECT_ARGS = """\
from sqlalchemy import event

CONNECT_ARGS = {
LINES
}
event.listen(
    ENGINE,
    "do_connect",
    lambda dialect, _, args, options: options.update(
        CONNECT_ARGS.get(dialect.name.replace("mariadb", "mysql"), {})
    ),
)"""

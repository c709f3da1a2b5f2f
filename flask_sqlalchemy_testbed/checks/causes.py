"""The causes that make several checks fail, and the smallest change that mends each.

A check names its cause. A cause that many other mistakes resemble has a check that shows it: only if that one
fails too, the others are its consequences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks import changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Part(StrEnum):
    """The part of an app that a change is made in."""

    ENGINE = "engine"
    SESSION = "session"
    FACTORY = "factory"
    APP = "app"
    # The function that makes the app returns it there.
    RETURN = "returned"
    # The library gets the app there.
    LIBRARY = "given"
    COMMIT = "commit"


# Where a failure is mended that has no cause of its own, by the group of its check.
PART_OF_GROUP: Mapping[str, Part] = MappingProxyType(
    {
        "binding": Part.ENGINE,
        "lifecycle": Part.SESSION,
        "transactions": Part.ENGINE,
        "portability": Part.ENGINE,
        "faults": Part.ENGINE,
        "isolation": Part.SESSION,
        "schema": Part.FACTORY,
        "promises": Part.SESSION,
    }
)


# What becomes of a teardown callback that removes the session, if something else removes it later.
CALLBACK = (
    "This replaces the line of a teardown callback that removes the session: do not keep both, but keep the"
    " callback's other lines."
)
# The same, if a library makes the session.
CALLBACK_OF_LIBRARY = (
    "The callback of LIBRARY stays. This replaces the line of a callback of your own that removes the"
    " session: do not keep both, but keep the callback's other lines."
)
# The same, if a function of the app returns the session: the callback takes it out of `g`, for example.
CALLBACK_OF_FUNCTION = (
    "Keep the app's own teardown callback as it is: this also ends a session that is opened after it."
)

# The names in the changes, until those of an app are known.
TERMS: Mapping[str, str] = MappingProxyType(
    {
        "SESSION": "session",
        "CURRENT_SESSION": "session",
        "END": "session.remove()",
        "IMPORT": "",
        "LASTLY": "session.remove()",
        "ENGINE": "engine",
        "APPS_ENGINE": "engine",
        "CURRENT_ENGINE": "engine",
        "DEFINES_TABLES": "",
        "METADATA": "metadata",
        "APP": "app",
        "OPTION": "Add NAME=VALUE to create_engine()",
        "FACTORY": "...",
        "OPTIONS": "",
        "MAKER_PLACE": "Before the function that returns the session",
        "MAKER": "",
        "CALLBACK": CALLBACK,
        "KEPT_PLACE": "In the factory, in place of the line that makes the engine",
        "KEPT": "create_engine(...)  # the arguments that it has now",
        "OUTSIDE": "",
        "COMMANDS": "",
        "STREAMS": "",
        "ENGINE_USES": "",
        "OTHER_URIS": "migrations/env.py, alembic.ini and scripts",
        "IMPORTED": "",
        "AFTER_MAKING": "Directly after the line that makes the app",
        "LATE": "",
        "FIRST": "",
        "AFTER_ENGINE": "After the line that makes the engine (imports at the top of the module)",
        "COPIED_TO": "beside the module that makes the engine",
        "MAKES_ENGINE": "create_engine()",
        "AS_TEXT": "",
        "LIBRARY": "",
        "SESSION_AT": "the line that makes the session",
        "EARLY": "such as create_all()",
        "TARGET": "NAME",
        "OPENED_AT": "the line in the evidence",
    }
)
# No text of a change is a term, such as the method "OPTIONS" of HTTP.
_TERM = re.compile(rf"(?<![\"'])(?:{'|'.join(sorted(TERMS, key=len, reverse=True))})")
# In the evidence, before an option that does not mend the failure: the engine has it.
HAS_OPTION = "the engine has"
# In the evidence, before the line of the app that opened what stays open.
BESIDE = "opened not by the app's session, but in"
# In the evidence, before the lines of the app that made other engines than its own.
KEPT = "connections are kept by the engine made in"
# In the evidence, before the lines of the app that took a fixture's object out of its session in a request.
DETACHED = "taken out of its session in"
# In the evidence, before the lines of the app that made the engines of a request on another app's database.
MISPLACED = "used the database of another app, with the engine made in"
# In the evidence of a failure whose request got no connection of the pool.
POOL_WAIT = "QueuePool limit of size"
# The advice for a transaction of SQLite that reads and then writes.
BEGIN_IMMEDIATE = 'begin it with CURRENT_SESSION.connection(execution_options={"sqlite_begin": "IMMEDIATE"})'
# Arguments of drivers that hold several settings, and the text between two.
_BETWEEN = {"options": " ", "init_command": ", "}


@dataclass(frozen=True, slots=True)
class Cause:
    """A mistake that makes several checks fail, or one whose change has lines of code."""

    name: str
    summary: str
    """The mistake, in one sentence."""
    remedy: str
    """The smallest change and its place, in one or two sentences, with the names of `TERMS`."""
    part: Part = field(kw_only=True)
    shown_by: str = field(default="", kw_only=True)
    """The check that must fail too; empty if each failure of its checks has this cause."""
    remedy_of_library: str = field(default="", kw_only=True)
    """The remedy, without code, if a library makes the session; empty for the same."""
    left_in: tuple[str, ...] = field(default=(), kw_only=True)
    """Further checks that show it, each if its evidence names something that is left open."""
    consequences: tuple[str, ...] = field(default=(), kw_only=True)
    """Checks of another cause that fail from this one too, if this one is shown and theirs is not."""
    option: str = field(default="", kw_only=True)
    """The option of the engine that `OPTION` stands for, such as `pool_pre_ping=True`."""
    code: str = field(default="", kw_only=True)
    """The lines that make the change, with the names of `TERMS`; empty if the remedy has them."""
    code_in_function: str = field(default="", kw_only=True)
    """The same, if a function of the app returns the session; empty for the same lines."""
    connect_args: Mapping[str, Mapping[str, object]] = field(default_factory=dict, kw_only=True)
    """Arguments of the drivers that mend it, by the dialect of the engine."""
    backends: tuple[str, ...] = field(default=(), kw_only=True)
    """The backends on which a failure can have this cause; empty for all."""
    includes: tuple[str, ...] = field(default=(), kw_only=True)
    """The names of causes that its change mends, too, in the same place: one change replaces the other."""
    note: str = field(default="", kw_only=True)
    """The last sentences of the remedy, with the names of `TERMS`: how the change affects other code."""

    def is_mended_in(self, reasons: Iterable[str]) -> bool:
        """Return whether the evidence says that the engine has `option`: the failure has another cause."""
        return bool(self.option) and any(f"{HAS_OPTION} {self.option}" in reason for reason in reasons)

    def remedy_in(self, terms: Mapping[str, str]) -> str:
        """Return the remedy in the terms of one app.

        Args:
            terms: The app's names for some of `TERMS`, and the arguments that the engine has as ARGUMENTS.
        """
        name, _, value = self.option.partition("=")
        is_given = name in terms.get("ARGUMENTS", "").split(", ")
        change = "Change NAME to VALUE there" if is_given else {**TERMS, **terms}["OPTION"]
        option = change.replace("NAME", name).replace("VALUE", value)
        remedy = (terms.get("LIBRARY") and self.remedy_of_library) or self.remedy
        return f"{_in_terms(remedy, {**terms, 'OPTION': option}).rstrip()} {self.note_in(terms)}".rstrip()

    def note_in(self, terms: Mapping[str, str]) -> str:
        """Return the note in the terms of one app; may be empty.

        Args:
            terms: As for `remedy_in`.
        """
        return _in_terms(self.note, terms)

    def code_in(self, terms: Mapping[str, str], causes: Iterable[Cause] = ()) -> str:
        """Return the lines of the change in the terms of one app; may be empty.

        Args:
            terms: As for `remedy_in`.
            causes: All causes in the app; the arguments of the drivers for them are in one example.
        """
        code = (terms.get("MAKER") and self.code_in_function) or self.code
        lines = "" if terms.get("LIBRARY") and self.remedy_of_library else code
        if self.connect_args:
            arguments = _joined({one.name: one for one in (self, *causes)}.values())
            lines = changes.CONNECT_ARGS.replace(
                "LINES",
                "\n".join(f"    {_quoted(dialect)}: {_dict(own)}," for dialect, own in arguments.items()),
            )
        if "ENGINE" in lines and not terms.get("ENGINE"):
            lines = f"{changes.NAMED}\n\n{lines}"
        return _in_terms(lines, terms)


def remedy_of_lock(terms: Mapping[str, str]) -> str:
    """Return the remedy of a line that found SQLite's database locked.

    Args:
        terms: As for `Cause.remedy_in`.
    """
    return _in_terms(
        "SQLite has one writer at a time. If this request reads first, in a transaction of BEGIN DEFERRED, it"
        f" fails at once while another one writes: {BEGIN_IMMEDIATE}, before its first read. Else write less"
        " often here, or end the other transaction sooner.",
        terms,
    )


def _in_terms(text: str, terms: Mapping[str, str]) -> str:
    return _TERM.sub(lambda match: terms.get(match[0]) or TERMS[match[0]], text)


def _joined(causes: Iterable[Cause]) -> dict[str, dict[str, object]]:
    """Return the arguments of the drivers for all these causes, by dialect."""
    found: dict[str, dict[str, object]] = {}
    for cause in causes:
        for dialect, arguments in cause.connect_args.items():
            known = found.setdefault(dialect, {})
            for name, value in arguments.items():
                if name in known and name in _BETWEEN:
                    known[name] = f"{known[name]}{_BETWEEN[name]}{str(value).removeprefix('SET ')}"
                else:
                    known[name] = value
    return found


def _dict(values: Mapping[str, object]) -> str:
    return f"{{{', '.join(f'{_quoted(name)}: {_quoted(value)}' for name, value in values.items())}}}"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


SESSIONS_STAY_OPEN, LEFT_AFTER_CHECK = "sessions-stay-open", "left-after-check"
LEFT_BY_FACTORY, NO_CONNECTION_LEFT = "left-by-factory", "no-connection-left"
LEFT_BESIDE, OTHER_ENGINE = "left-beside", "other-engine"
SCOPED_BY_THREAD, SHARED_ENGINE = "scoped-by-thread", "shared-engine"
ENGINES_STAY, NO_PRE_PING, ENDLESS_WAIT = "engines-stay", "no-pre-ping", "endless-wait"
FOREIGN_KEYS_OFF, TEARDOWN_ORDER, TIME_ZONE = "foreign-keys-off", "teardown-order", "time-zone"
SQLITE_URL, LATE_BEGIN, FORKED = "sqlite-url", "late-begin", "forked"
HELD_STREAM, KEPT_SETTINGS, UNNOTICED_LOSS = "held-stream", "kept-settings", "unnoticed-loss"
ENDED_EARLY = "ended-early"
EARLY_CONNECTION, UNREAD_ROWS, COMMITS_LATE = "early-connection", "unread-rows", "commits-late"
BUSY_THREADS, ERROR_HANDLER = "busy-threads", "error-handler"

# Where lines that need the app, or its engine, are added.
IN_FACTORY = "Where the app is made (in a factory, before it returns APP; imports at the top of the module)"
INTO_CONTEXT = (
    "put lines that use it there, or the calls of their functions, into a block `with APP.app_context():`."
)
OUTSIDE = (
    "Wrap the generators of streamed responses in stream_with_context()STREAMS: their contexts end before"
    f" them. Outside contexts the session then raises RuntimeError: {INTO_CONTEXT} If APP is not known there,"
    " pass it on. A command that cli.add_command() addsCOMMANDS needs no block: put `@with_appcontext` of"
    " flask.cli below its `@click.command`. OUTSIDE"
)
# A context that ends before these lines are run leaves its session open.
REMOVE = (
    "AFTER_MAKINGIMPORTED, have the session removed after all callbacks, also if one raises. CALLBACK LATE"
)
DRIVERS = (
    "AFTER_ENGINE, give the drivers these arguments. They win over those of the same name: join the values"
    " with yours."
)

# In the order in which a person should mend them, among those of one severity.
_ALL = (
    Cause(
        BUSY_THREADS,
        "Threads that the app starts while it is made use the database during the checks.",
        "Start them outside the factory, such as in wsgi.py, or only if a key of the configuration is set,"
        " which the battery leaves out. Then run again: what such a thread has open counts as left open.",
        part=Part.FACTORY,
    ),
    Cause(
        SESSIONS_STAY_OPEN,
        "Sessions stay open after their app context.",
        REMOVE,
        part=Part.APP,
        shown_by="lifecycle.request-ends",
        left_in=("lifecycle.context-ends", "lifecycle.failed-request-ends"),
        code=changes.REMOVE,
    ),
    Cause(
        COMMITS_LATE,
        "Requests or contexts end with a commit, also after an error that was handled.",
        "Delete the commit in the teardown callback, or in the after_request callback, and commit in the"
        " views: no such callback sees an error that was handled. A callback that writes rows of its own"
        " keeps its commit: it first reads what these rows need, and calls CURRENT_SESSION.rollback() before"
        " it adds them. Its commit then has these rows alone.",
        part=Part.COMMIT,
        shown_by="lifecycle.handled-error",
    ),
    Cause(
        ENDED_EARLY,
        "The app ends its session during a request, though the app context lasts longer.",
        "Delete the call in OPENED_AT, which closes or removes the session, or expunges its objects: code"
        " that uses the same app context after the request still needs them. END at the end of the app"
        " context is enough.",
        part=Part.SESSION,
    ),
    Cause(
        ERROR_HANDLER,
        "An error handler of the app relies on the session, which may need a rollback, or have no database.",
        "In the function in OPENED_AT, roll the session back before it is used, and expect that the database"
        " is down: put the lines that use the session into a `try` block, and roll it back in `except"
        " SQLAlchemyError`, too.",
        part=Part.FACTORY,
    ),
    Cause(
        LEFT_AFTER_CHECK,
        "The claims hold, but the app left something open after the check.",
        "Close what the evidence names where the app is done with it: END for a session.",
        part=Part.SESSION,
    ),
    Cause(
        LEFT_BESIDE,
        "A session or a connection stays open that is not the app's session.",
        "Close the session or the connection that is opened in OPENED_AT where the app is done with it: use"
        " it in a `with` block, or call its close() in a `finally` block. END does not close it.",
        part=Part.SESSION,
        left_in=("lifecycle.request-ends", "lifecycle.context-ends", "lifecycle.failed-request-ends"),
    ),
    Cause(
        OTHER_ENGINE,
        "Another engine than that of the app keeps its connections, or is on the database of another app.",
        "In place of the engine that is made in OPENED_AT, use that of the current app:"
        " CURRENT_SESSION.get_bind(). If you need two, make the other one in the factory, for each app, with"
        " poolclass=NullPool: it then keeps no connection when the app's engine is disposed of.",
        part=Part.ENGINE,
    ),
    Cause(
        NO_CONNECTION_LEFT,
        "All connections of the pool stay in use: a request waited for one and got none.",
        "Close what the evidence of other failures calls left open. If nothing is left open, a request of the"
        " app needs several connections at once: give the pool more with pool_size.",
        part=Part.ENGINE,
    ),
    Cause(
        SHARED_ENGINE,
        "All apps of a process share one engine: the last app that is made moves the others.",
        "FIRSTKeep each app's engine in its extensions, and bind each session to the engine of the current"
        f" app.ENGINE_USES {OUTSIDE}",
        part=Part.SESSION,
        remedy_of_library=(
            "Make the object of LIBRARY in the factory, one for each app; keep it in the extensions of the"
            " app, and find it by current_app."
        ),
        shown_by="binding.two-apps",
        code=changes.BY_APP,
        code_in_function=changes.BY_APP_IN_FUNCTION,
        includes=(SCOPED_BY_THREAD, ENGINES_STAY, LEFT_BY_FACTORY),
    ),
    Cause(
        SCOPED_BY_THREAD,
        "Sessions are scoped by the thread, not by the app context.",
        f"FIRSTScope the session by the context, in place of the line that makes it. {OUTSIDE}",
        part=Part.SESSION,
        remedy_of_library=(
            "FIRSTDelete `scopefunc` from the session_options in SESSION_AT, or the code that replaces"
            f" SESSION: LIBRARY scopes its session by the context. {OUTSIDE}"
        ),
        shown_by="lifecycle.async-view",
        # The context inside, also one in a factory, has the session of the thread.
        consequences=("binding.app-inside-app", "binding.second-app"),
        code=changes.BY_CONTEXT,
        includes=(LEFT_BY_FACTORY,),
    ),
    Cause(
        LEFT_BY_FACTORY,
        "The app uses its session outside app contexts while it is made, and leaves it there.",
        f"FIRSTThe end of a context removes the session: {INTO_CONTEXT} OUTSIDE",
        part=Part.FACTORY,
    ),
    Cause(
        ENGINES_STAY,
        "Engines keep their connections when their app is gone.",
        f"{IN_FACTORY}, have the engine disposed of when the app is garbage-collected.",
        part=Part.RETURN,
        code=changes.DISPOSE,
    ),
    Cause(
        NO_PRE_PING,
        "The pool hands out connections that the server has ended.",
        "OPTION.",
        part=Part.ENGINE,
        option="pool_pre_ping=True",
    ),
    Cause(
        ENDLESS_WAIT,
        "Nothing limits the time that a request waits for a lock, or for a server that does not answer.",
        DRIVERS,
        part=Part.ENGINE,
        connect_args={
            "postgresql": {"tcp_user_timeout": 30000, "options": "-c lock_timeout=5s"},
            "mysql": {
                "read_timeout": 30,
                "write_timeout": 30,
                "init_command": "SET lock_wait_timeout = 5, innodb_lock_wait_timeout = 5",
            },
        },
        note=(
            "On MySQL and MariaDB a statement of more than 30 s then fails: give migrations and long reports"
            " an engine of their own (docs/binding.md, Time limits). No check needs that engine."
        ),
    ),
    Cause(
        FOREIGN_KEYS_OFF,
        "Foreign keys are not checked.",
        "AFTER_ENGINE, switch them on for each connection to SQLite; other databases check them.",
        part=Part.ENGINE,
        code=changes.FOREIGN_KEYS,
        backends=("sqlite",),
    ),
    Cause(
        TEARDOWN_ORDER,
        "A teardown callback that raises or that uses the session late leaves the session open.",
        REMOVE,
        part=Part.APP,
        code=changes.REMOVE,
        includes=(SESSIONS_STAY_OPEN,),
    ),
    Cause(
        TIME_ZONE,
        "The time zone of the connections is not UTC.",
        DRIVERS,
        part=Part.ENGINE,
        connect_args={
            "postgresql": {"options": "-c timezone=UTC"},
            "mysql": {"init_command": "SET time_zone = '+00:00'"},
        },
        note=(
            "Times that NOW() has written into columns without a time zone (DATETIME of MySQL, TIMESTAMP of"
            " PostgreSQL) stay in the old zone: convert them once."
        ),
    ),
    Cause(
        SQLITE_URL,
        "A relative path depends on the working directory, and each thread has its own database in memory.",
        "Where the engine is made, complete the URI of SQLite first. If APP is not known there, pass it on."
        " A relative path then begins in the instance folder of the app: move an existing file there, or"
        " create its tables again. Other code still names the old file: write the new path in OTHER_URIS,"
        " too.",
        part=Part.ENGINE,
        code=changes.SQLITE_URL,
        backends=("sqlite",),
    ),
    Cause(
        LATE_BEGIN,
        "Python's SQLite driver begins a transaction late: savepoints and reads before it are outside.",
        "AFTER_ENGINE, have SQLAlchemy begin each transaction.",
        part=Part.ENGINE,
        code=changes.BEGIN,
        backends=("sqlite",),
        note=(
            "Requests with methods such as POST then wait for each other from their first statement on. A GET"
            " request, or code outside requests, that reads and then writes may fail at once with"
            f" 'database is locked': {BEGIN_IMMEDIATE}. Give the option to calls of"
            " create_all() and drop_all(), too, in the appDEFINES_TABLES and in tests:"
            ' METADATA.create_all(CURRENT_ENGINE.execution_options(sqlite_begin="IMMEDIATE")). A second'
            ' session in a POST request can only read: begin it with "DEFERRED".'
        ),
    ),
    Cause(
        FORKED,
        "Forked workers use the connections of their parent.",
        "AFTER_ENGINE, have each forked process open connections of its own.",
        part=Part.ENGINE,
        code=changes.FORK,
    ),
    Cause(
        HELD_STREAM,
        "A streamed response that stays unclosed shares its context with later requests on its thread.",
        f"{IN_FACTORY}, run each request and its body in a context of its own.",
        part=Part.RETURN,
        code=changes.STREAM,
    ),
    Cause(
        KEPT_SETTINGS,
        "A pooled connection keeps what a request has set on it.",
        f"Copy app/database/reset.py from {changes.CLONE}, COPIED_TO. AFTER_ENGINE, call it.",
        part=Part.ENGINE,
        code=changes.RESET,
    ),
    Cause(
        UNNOTICED_LOSS,
        "After some errors the app uses a lost transaction further, or a server that takes no writes.",
        f"Copy app/database/errors.py from {changes.CLONE}, COPIED_TO. AFTER_ENGINE, call it.",
        part=Part.ENGINE,
        code=changes.ERRORS,
    ),
    Cause(
        UNREAD_ROWS,
        "PyMySQL reads all rows of a streamed result when it is closed, also those that nothing needs.",
        f"Copy app/database/streams.py from {changes.CLONE}, COPIED_TO. AFTER_ENGINE, call it.",
        part=Part.ENGINE,
        code=changes.UNREAD,
        backends=("mysql", "mariadb"),
    ),
    Cause(
        EARLY_CONNECTION,
        "The app connects to its database while it is made.",
        "Move the lines that connect (EARLY), or the calls of the functions that contain them, to a command"
        " of the app, and run it once: flask --app TARGET create-tables. A `with app.app_context():` around"
        " them goes: Flask runs a command in a context. Tests that relied on these lines call them"
        " themselves, in a context. An app whose database is in memory keeps them where they are: each"
        " process has its own database.",
        part=Part.FACTORY,
        code=changes.TABLES,
    ),
)
CAUSES: Mapping[str, Cause] = MappingProxyType({cause.name: cause for cause in _ALL})

"""The causes that make several checks fail, and the smallest change that mends each.

A check names its cause. A cause that many other mistakes resemble has a check that shows it: only if that one
fails too, the others are its consequences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Part(StrEnum):
    """The part of an app that a change is made in."""

    ENGINE = "engine"
    SESSION = "session"
    FACTORY = "factory"


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


@dataclass(frozen=True, slots=True)
class Cause:
    """A mistake that makes several checks fail."""

    name: str
    summary: str
    """The mistake, in one sentence."""
    remedy: str
    """The smallest change, in one sentence; `SESSION`, `ENGINE` and `OPTION` stand for those of the app."""
    part: Part = field(kw_only=True)
    shown_by: str = field(default="", kw_only=True)
    """The check that must fail too; empty if each failure of its checks has this cause."""
    option: str = field(default="", kw_only=True)
    """The option of the engine that `OPTION` stands for, such as `pool_pre_ping=True`."""
    code: str = field(default="", kw_only=True)
    """The lines that make the change, with the same words as the remedy; empty if the remedy has them."""
    connect_args: Mapping[str, Mapping[str, object]] = field(default_factory=dict, kw_only=True)
    """Arguments of the drivers that mend it, by the dialect of the engine."""
    backends: tuple[str, ...] = field(default=(), kw_only=True)
    """The backends on which a failure can have this cause; empty for all."""

    def remedy_in(self, *, session: str, engine: str, option: str, note: str) -> str:
        """Return the remedy in the terms of one app.

        Args:
            session: The expression for its session, such as `db.session`.
            engine: The expression for its engine.
            option: The words for an option of its engine, with `NAME` and `VALUE`.
            note: A sentence to add where the engine is used; may be empty.
        """
        name, _, value = self.option.partition("=")
        words = option.replace("NAME", name).replace("VALUE", value)
        uses_engine = self.connect_args or "ENGINE" in self.remedy + self.code
        end = f" {note}" if note and uses_engine else ""
        return (
            self.remedy.replace("OPTION", words).replace("SESSION", session).replace("ENGINE", engine) + end
        )

    def code_in(self, *, session: str, engine: str, causes: Iterable[Cause] = ()) -> str:
        """Return the lines of the change in the terms of one app; may be empty.

        Args:
            session: As for `remedy_in`.
            engine: As for `remedy_in`.
            causes: All causes in the app; the arguments of the drivers for them are in one example.
        """
        code = self.code
        if self.connect_args:
            arguments: dict[str, dict[str, object]] = {}
            for cause in {one.name: one for one in (self, *causes)}.values():
                for dialect, own in cause.connect_args.items():
                    arguments.setdefault(dialect, {}).update(own)
            lines = "\n".join(f"    {_quoted(dialect)}: {_dict(own)}," for dialect, own in arguments.items())
            code = CONNECT_ARGS.replace("LINES", lines)
        return code.replace("SESSION", session).replace("ENGINE", engine)


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


def _dict(values: Mapping[str, object]) -> str:
    return f"{{{', '.join(f'{_quoted(name)}: {_quoted(value)}' for name, value in values.items())}}}"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


SESSIONS_STAY_OPEN, LEFT_AFTER_CHECK = "sessions-stay-open", "left-after-check"
SCOPED_BY_THREAD, SHARED_ENGINE = "scoped-by-thread", "shared-engine"
ENGINES_STAY, NO_PRE_PING, ENDLESS_WAIT = "engines-stay", "no-pre-ping", "endless-wait"
FOREIGN_KEYS_OFF, TEARDOWN_ORDER, TIME_ZONE = "foreign-keys-off", "teardown-order", "time-zone"

_ALL = (
    Cause(
        SESSIONS_STAY_OPEN,
        "Sessions stay open after their app context.",
        "Where the app is made, remove the session at the end of each context:"
        " app.teardown_appcontext(lambda error: SESSION.remove()).",
        part=Part.FACTORY,
        shown_by="lifecycle.request-ends",
    ),
    Cause(
        LEFT_AFTER_CHECK,
        "The claims hold, but the app left something open after the check.",
        "Close all that was opened, as with SESSION.remove() in a teardown callback.",
        part=Part.SESSION,
    ),
    Cause(
        SCOPED_BY_THREAD,
        "Sessions are scoped by the thread, not by the app context.",
        "Scope it by the context, `from flask.globals import app_ctx`; outside contexts it then raises:"
        " scoped_session(..., scopefunc=app_ctx._get_current_object).",
        part=Part.SESSION,
        shown_by="lifecycle.async-view",
    ),
    Cause(
        SHARED_ENGINE,
        "All apps of a process share one engine: the last app that is made moves the others.",
        "Keep the engine in app.extensions, and find it there by current_app when a session is made.",
        part=Part.ENGINE,
        shown_by="binding.two-apps",
    ),
    Cause(
        ENGINES_STAY,
        "Engines keep their connections when their app is gone.",
        "Call ENGINE.dispose() when the app goes or another engine replaces it.",
        part=Part.ENGINE,
    ),
    Cause(
        NO_PRE_PING,
        "The pool hands out connections that the server has ended.",
        "Add OPTION.",
        part=Part.ENGINE,
        option="pool_pre_ping=True",
    ),
    Cause(
        ENDLESS_WAIT,
        "The driver waits without a limit for a server that does not answer.",
        "Give the driver a limit, which each driver spells in its own way.",
        part=Part.ENGINE,
        connect_args={
            "postgresql": {"tcp_user_timeout": 30000},
            "mysql": {"read_timeout": 30, "write_timeout": 30},
        },
    ),
    Cause(
        FOREIGN_KEYS_OFF,
        "Foreign keys are not checked.",
        "Switch them on for each connection to SQLite; other databases check them.",
        part=Part.ENGINE,
        code="""\
from sqlalchemy import event

if ENGINE.name == "sqlite":
    event.listen(
        ENGINE, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON")
    )""",
        backends=("sqlite",),
    ),
    Cause(
        TEARDOWN_ORDER,
        "A teardown callback that raises or that uses the session late leaves the session open.",
        "Where the app is made, remove the session after all callbacks, also if one raises.",
        part=Part.FACTORY,
        code="""\
def remove_at_the_end(*args, teardown=app.do_teardown_appcontext, **options):
    try:
        teardown(*args, **options)
    finally:
        SESSION.remove()


app.do_teardown_appcontext = remove_at_the_end""",
    ),
    Cause(
        TIME_ZONE,
        "The time zone of the connections is not UTC.",
        "Have the driver set it for each connection.",
        part=Part.ENGINE,
        connect_args={
            "postgresql": {"options": "-c timezone=UTC"},
            "mysql": {"init_command": "SET time_zone = '+00:00'"},
        },
    ),
)
CAUSES: Mapping[str, Cause] = MappingProxyType({cause.name: cause for cause in _ALL})

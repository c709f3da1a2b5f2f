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
    from collections.abc import Mapping


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
        end = f" {note}" if note and "ENGINE" in self.remedy else ""
        return (
            self.remedy.replace("OPTION", words).replace("SESSION", session).replace("ENGINE", engine) + end
        )


SESSIONS_STAY_OPEN, LEFT_AFTER_CHECK = "sessions-stay-open", "left-after-check"
SCOPED_BY_THREAD, SHARED_ENGINE = "scoped-by-thread", "shared-engine"
ENGINES_STAY, NO_PRE_PING, ENDLESS_WAIT = "engines-stay", "no-pre-ping", "endless-wait"
FOREIGN_KEYS_OFF, TEARDOWN_ORDER, TIME_ZONE = "foreign-keys-off", "teardown-order", "time-zone"

_ALL = (
    Cause(
        SESSIONS_STAY_OPEN,
        "Sessions stay open after their app context.",
        "In the factory, remove the session at the end of each context:"
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
        "Scope it by the context, with app_ctx of flask.globals and get_ident of threading:"
        " scoped_session(..., scopefunc=lambda: app_ctx._get_current_object() if app_ctx else get_ident()).",
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
        'Add OPTION; with PyMySQL {...} is {"read_timeout": 30, "write_timeout": 30}, with psycopg and'
        ' psycopg2 it is {"tcp_user_timeout": 30000}.',
        part=Part.ENGINE,
        option="connect_args={...}",
    ),
    Cause(
        FOREIGN_KEYS_OFF,
        "Foreign keys are not checked.",
        'Switch them on for each connection: event.listen(ENGINE, "connect", lambda connection, _:'
        ' connection.execute("PRAGMA foreign_keys = ON")).',
        part=Part.ENGINE,
    ),
    Cause(
        TEARDOWN_ORDER,
        "A teardown callback that raises or that uses the session late leaves the session open.",
        "Remove the session after all callbacks: wrap app.do_teardown_appcontext in the factory.",
        part=Part.FACTORY,
    ),
    Cause(
        TIME_ZONE,
        "The time zone of the connections is not UTC.",
        'Add OPTION; on PostgreSQL {...} is {"options": "-c timezone=UTC"}, on MySQL it is'
        """ {"init_command": "SET time_zone = '+00:00'"}.""",
        part=Part.ENGINE,
        option="connect_args={...}",
    ),
)
CAUSES: Mapping[str, Cause] = MappingProxyType({cause.name: cause for cause in _ALL})

"""What the harness has to know about a database before it can run tests on it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flask_sqlalchemy_testbed.backends.connection import Connection

# Databases of runs are called this, and nothing that is called otherwise is ever dropped.
NAME_PATTERN = "^testbed_[0-9a-f]{12}(_[a-z0-9]+)*$"


def new_name() -> str:
    """A name for a run that no other has, here or anywhere."""
    return f"testbed_{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class Built:
    """What a database is to hold again before each test."""

    empty: Sequence[str]
    """The tables without a row."""
    rows: Mapping[str, Sequence[tuple[Any, ...]]]
    """The others, with theirs."""
    identities: Mapping[str, str]
    """`Backend.identities`, where that asks anything."""


@dataclass(frozen=True, slots=True)
class Look:
    """The database at a moment. Whoever is not in `busy` had nothing under way that is not told here."""

    busy: Sequence[str]
    """Sessions in a transaction or at a statement, which may still write what cannot be seen yet."""
    objects: object
    """Equal to that of an earlier look only if nothing was made, changed or dropped since."""
    written: Sequence[str]
    """Tables that may hold other rows than as built; no other does."""
    restart: Sequence[str]
    """Statements that set back what generates keys."""


class Watch(Protocol):
    """Keeps in mind what was clean, from one look to the next."""

    def look(self) -> Look:
        """One round trip, where the driver sends several statements at once."""

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Deletes the rows of those tables that the last look told of, in one batch."""

    def accept(self, tables: Sequence[str]) -> None:
        """What of these the last look told, if any, has since been found to be as built."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that the server holds open, as the server describes it."""

    session: str
    detail: str

    def __str__(self) -> str:
        return f"session {self.session}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a throwaway server is made: a folder with a Dockerfile, and the variable of `.env` for its base."""

    folder: str
    variable: str
    port: int
    client: str
    """What a person runs to look into the database `{database}` of the container `{container}`."""
    command: tuple[str, ...] = ("throwaway",)
    memory: tuple[str, ...] = ("/data",)
    """Where it keeps what need not outlive it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of database, as data. In its SQL, `{database}` and `{session}` stand for the harness's names."""

    name: str
    drivername: str
    schemes: frozenset[str]
    """What a URI may begin with, up to `+` or `:`."""
    capabilities: frozenset[str]
    """`server`: it is a process of its own, whose sessions can be listed and ended.
    `embedded`: it is a file, or in the memory, of the process that uses it.
    `restarts-identities`: the keys that it generates start again for every test.
    `bounded-reads`: its driver can be told how long to wait for an answer.
    Its server may have more: `throwaway` when it is this run's own, `container` when it is in one, and
    `routed` when that can be reached at its own address, so that the network between can be cut.
    """
    recipe: Recipe | None
    """None for a database that is a file of the tests' own process."""

    login_options: Mapping[str, object]
    """Bounds one attempt to log in."""
    refusal: str
    """Matches what a driver says of a log-in that no waiting will mend."""
    connect_options: Mapping[str, object]
    """Bounds what the harness asks once it is in."""
    patience: tuple[str, ...]
    """Bounds how long it waits for locks that somebody else holds."""

    version: str
    complaint: str
    """Answers what stops this server from being used here, if anything does."""
    whereabouts: str
    """Answers which database a connection is in."""

    databases: str
    lock: str
    """Held while the run needs the database; the server lets go when the run ends, however it ends."""
    stale: str
    """Answers the databases of runs that are over."""
    create: tuple[str, ...]
    keep: tuple[str, ...]
    """Run inside a database that is to outlive its run: it is not stale from then on."""
    drop: tuple[str, ...]

    objects: str
    """Answers everything in the database: (name, definition, statement that drops it, table to empty).

    The name is NULL where coming and going mean nothing, the statement where a thing goes with another. That
    of a trigger begins with `trigger`, that of a rule with `rule`.
    """
    watch: Callable[[Connection, Built], Watch | None]
    """What tells in one question what was written since; None where this server does not."""
    empty: Callable[[Sequence[str]], Sequence[str]]
    """The statements that delete the rows of these tables, whatever their foreign keys."""
    identities: str
    """Answers where generated keys stand: (name, statement that has them go on from there).

    Empty where that comes with `objects`, or costs too much.
    """
    restart: str
    """Answers statements that have generated keys start again, where that is done only on request."""
    transactions: Callable[[Connection], list[OpenTransaction]]
    """The transactions open in this database now, but for the asker's own."""
    sessions: str
    terminate: str
    settings: str
    """Answers how the server is set where that is not its default, or matters anyway: (name, value)."""
    activity: str
    """What a person reads when something hangs: each session here, what it does and for whom it waits."""

    def lacks(self, needs: Iterable[str], has: Iterable[str] | None = None) -> str:
        """Why something that needs these capabilities does not apply here; nothing where it does.

        `has` are those of its server, where that has been asked for.
        """
        missing = set(needs) - set(self.capabilities if has is None else has)
        return f"{self.name} lacks {', '.join(sorted(missing))}" if missing else ""


def ask(statement: str) -> Callable[[Connection], list[OpenTransaction]]:
    """For a server that lists its transactions: as (session, what it does)."""

    def transactions(connection: Connection) -> list[OpenTransaction]:
        return [OpenTransaction(str(session), str(detail)) for session, detail in connection.rows(statement)]

    return transactions


def quoted(text: str) -> str:
    """The text as a literal."""
    return "'{}'".format(text.replace("'", "''"))


def delete_one_by_one(begin: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """For a connection that does not check foreign keys."""
    return lambda tables: [begin, *(f"DELETE FROM {table}" for table in tables), "COMMIT"]  # noqa: S608

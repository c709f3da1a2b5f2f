"""Describe a kind of database, and define the types of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flask_sqlalchemy_testbed.backends.drivers import MissingDriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flask_sqlalchemy_testbed.backends.connection import Connection
    from flask_sqlalchemy_testbed.backends.drivers import Driver

Entry = TypeVar("Entry")

OWN_SESSIONS, POOLED = "own-sessions", "pooled"
# Why a server lacks a capability, where its name does not say it.
REASONS = {
    OWN_SESSIONS: "the clients of a pooler share the server's sessions",
    POOLED: "the run has no pooler",
}
# The names of the harness's databases. A database with another name is never dropped.
NAME_PATTERN = "^testbed_[0-9a-f]{12}(_[a-z0-9]+)*$"


def new_name() -> str:
    """Return a unique name for a run, which is also the name of its first database."""
    import secrets  # noqa: PLC0415 - not for the test runs of other projects

    return f"testbed_{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class BuiltContents:
    """The contents of a database right after its schema was created; each test starts with them."""

    empty: Sequence[str]
    """Tables without rows."""
    rows: Mapping[str, Sequence[tuple[Any, ...]]]
    """The rows of the other tables."""
    identities: Mapping[str, str]
    """The result of `Backend.identities`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a database at one moment.

    Sessions that are not listed in `busy` have no writes that are missing from this snapshot.
    """

    busy: Sequence[str]
    """Sessions in a transaction or executing a statement: their writes may not be visible yet."""
    objects: object
    """Equal in two snapshots only if no object was created, altered or dropped in between."""
    written: Sequence[str]
    """Tables whose rows may differ from the built contents; no other table's rows do."""
    restart: Sequence[str]
    """Statements that reset the generators of keys."""


class WriteTracker(Protocol):
    """Find the tables that were written to since the last snapshot."""

    def snapshot(self) -> Snapshot:
        """Query the server for what has changed, in one round trip if the driver sends batches."""

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Delete the rows of these tables, which the last snapshot listed, and execute `restart`."""

    def accept(self, tables: Sequence[str]) -> None:
        """Mark these tables of the last snapshot as clean: their rows are the built ones."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that is open on the server, or a lock that outlives transactions."""

    session: str
    """The id of its session; empty where a database has no sessions."""
    detail: str
    kind: str = "transaction"
    """`transaction` or `lock`."""
    end: str = ""
    """The statement that ends it; empty if its session has to be terminated."""

    def __str__(self) -> str:
        if not self.session:
            return f"{self.kind} ({self.detail})"
        detail = self.detail if self.end else f"session {self.session}: {self.detail}"
        return f"{self.kind} on the server: {detail}"


@dataclass(frozen=True, slots=True)
class SharedObject:
    """An object or a setting that all databases of a server share."""

    label: str
    """Its kind and name; no other object has the same."""
    words: str
    """Names, one of which each statement about it contains, separated by spaces."""
    definition: str
    """Equal as long as the object is the same."""
    drop: str
    """Statements that remove it, a line for each; empty if there is none."""
    restore: str
    """Statements that give it this definition again, a line for each; empty if there is none."""


# The objects of one kind by their labels; None if the server refused to list them.
SharedObjects = dict[str, SharedObject] | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """The folder with the Dockerfile of a throwaway server, and its variable in `.env`."""

    folder: str
    variable: str
    port: int
    client: str
    """The command for a person who inspects the database `{database}` of the container `{container}`."""
    command: tuple[str, ...] = ("throwaway",)
    memory: tuple[str, ...] = ("/data",)
    """Paths in the container that are kept in memory."""
    build: str = "make engine"
    """The command of this repository that provides the base image without an image registry."""

    @property
    def name(self) -> str:
        """Return the name of the folder, which is part of the image's name."""
        return self.folder.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Pooler(Recipe):
    """The recipe of a pooler, which is put before a server."""

    console: str = ""
    """The database whose statements are commands to the pooler."""
    renew: str = ""
    """The command that replaces the sessions of `{database}` that the pooler holds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition on which a server has a capability of its backend, such as a newer version."""

    query: str
    """Returns a row if the server meets it."""
    reason: str
    """Why a server that does not meet it lacks the capability."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The beginning of the server's protocol, by which a server of the wrong kind is recognized."""

    question: bytes
    """Sent to the server; empty if the server speaks first."""
    answer: bytes
    """A regular expression for the beginning of its answer."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of database, as data.

    In its SQL, `{database}` and `{session}` are placeholders for names.
    """

    name: str
    drivers: tuple[Driver, ...]
    """The drivers that the harness's own connections can use, the preferred one first.

    Empty if SQLAlchemy's default driver is part of Python.
    """
    schemes: frozenset[str]
    """The schemes of its URIs: the part before `+` or `:`."""
    capabilities: frozenset[str]
    """`server`: the database runs in its own process, whose sessions can be listed and terminated.
    `embedded`: the database is a file, or memory, of the process that uses it.
    `restarts-identities`: generated keys start again at 1 in every test.
    `local-settings`: a setting can be limited to one transaction, as `SET LOCAL` does.
    `replicates`: throwaway servers can be a primary and its standby (`replication.py`).
    `bounded-reads`: the driver has an option that limits how long it waits for an answer.
    `survives-full-disk`: on a full disk statements fail, and the server does not abort.
    A server may have more: `throwaway` if it belongs to this run, `container` if it runs in one, and
    `routed` if the container's own address can be reached, so that the network in between can be cut.
    Each has one of these: `own-sessions` if a connection of the app is a session of the server, from its
    log-in to its end, or `pooled` if a pooler of the run is between.
    """
    recipe: Recipe | None
    """None for a database that is a file, or that no image here contains."""

    login_options: Mapping[str, object]
    """Options of the driver that limit the time for one log-in."""
    fatal_login_error: str
    """A regular expression: it matches the driver's message if waiting cannot make the log-in succeed."""
    connect_options: Mapping[str, object]
    """Options of the driver for the harness's connections; they limit the time for each statement."""
    session_setup: tuple[str, ...]
    """Statements for each new connection of the harness; they limit the time to wait for locks."""

    version: str
    unmet_requirements: str
    """Returns a row for each reason why this server cannot be used."""
    current_database: str
    """Returns the database that a connection is in."""

    databases: str
    lock: str
    """Held while the run uses the database; the server releases it however the run ends."""
    stale: str
    """Returns the databases of runs that have ended."""
    create: tuple[str, ...]
    keep: tuple[str, ...]
    """Executed inside a database that shall outlive its run, so that `stale` does not return it."""
    drop: tuple[str, ...]

    objects: str
    """Returns every object in the database: (name, definition, statement that drops it, table to empty).

    The name is NULL if the object's existence means nothing, the statement is NULL if the object goes with
    another, or if only a new database is rid of it. The names of triggers begin with `trigger`, of rules with
    `rule`, and of materialised views with `MATERIALIZED VIEW`: REFRESH fills these.
    """
    track_writes: Callable[[Connection, BuiltContents], WriteTracker | None]
    """Returns what finds all writes in one query; None if this server does not count them."""
    empty: Callable[[Sequence[str]], Sequence[str]]
    """Returns the statements that delete the rows of these tables, whatever their foreign keys."""
    identities: str
    """Returns the position of each generator of keys: (name, statement that restores this position).

    Empty if `objects` covers them or if the query is too slow.
    """
    restart: str
    """Returns the statements that restart the generators of keys; executed only for tests that ask for it."""
    transactions: Callable[[Connection], list[OpenTransaction]]
    """Returns the open transactions, and the locks that need none, of other sessions in this database."""
    readers: Callable[[Connection], list[OpenTransaction]]
    """Returns the open transactions that `transactions` cannot see; it writes, so only the end of a test asks."""
    shared: Callable[[Connection], Sequence[SharedObjects]]
    """Returns what all databases of the server share: an item for each kind, in the same order each time."""
    shared_statement: str
    """A regular expression that finds the statements that may change a shared object; empty if none can."""
    sessions: str
    terminate: str
    settings: str
    """Returns the settings of the server that are not defaults or that matter anyway: (name, value)."""
    activity: str
    """Returns a line of text for each session: what it does and which session blocks it."""

    grants: Mapping[str, str] = field(default_factory=dict)
    """Queries for the statement that grants a missing privilege, by an expression for the driver's message."""
    lacking: str = ""
    """A regular expression for the driver's message: the server, or its user, lacks what a statement needs.

    That is an extension, a plugin, a privilege, a role or a setting, which an app cannot provide itself.
    """
    poolers: Mapping[str, Pooler] = field(default_factory=dict)
    """The poolers that a run can put between an app and a server of this kind, by name."""
    log_of_termination: str = ""
    """A regular expression for the lines that `terminate` adds to the server's log; empty if it adds none."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """The capabilities of the backend that only some of its servers have."""
    greeting: Greeting | None = None
    """How a server of this kind shows itself; None if this is unknown."""
    by_default: bool = True
    """Whether the commands try it if no backend is named."""
    family: str = ""
    """The backend that this one resembles: its entry of a table stands for a missing one."""

    @property
    def drivername(self) -> str:
        """Return the driver name for a `URL`: the preferred driver of those that are installed.

        Raises:
            MissingDriverError: No driver is installed.
        """
        if not self.drivers:
            return self._dialect
        for driver in self.drivers:
            if driver.is_installed:
                return f"{self._dialect}+{driver.name}"
        *others, last = (driver.package for driver in self.drivers)
        packages = f"{', '.join(others)} or {last}" if others else last
        message = (
            f"{self.name} needs a driver ({packages}), and none is installed."
            f" Install one: pip install 'flask-sqlalchemy-testbed[{self.name}]'."
        )
        raise MissingDriverError(message)

    @property
    def _dialect(self) -> str:
        return self.name if self.name in self.schemes else self.family

    def of(self, table: Mapping[str, Entry]) -> Entry:
        """Return the entry of this backend in a table, else that of its family.

        Args:
            table: Entries by names of backends.

        Raises:
            KeyError: It has neither.
        """
        return table[self.name if self.name in table or not self.family else self.family]

    def lacks(self, needs: Iterable[str], has: Iterable[str] | None = None) -> str:
        """Return why something does not apply to this backend; an empty string if it applies.

        Args:
            needs: The capabilities that it needs.
            has: The capabilities of the server, if they are known; by default those of the backend.
        """
        missing = set(needs) - set(self.capabilities if has is None else has)
        known = {**REASONS, **{name: condition.reason for name, condition in self.conditions.items()}}
        reasons = "; ".join(known[name] for name in sorted(missing) if name in known)
        return (
            f"{self.name} lacks {', '.join(sorted(missing))}{f': {reasons}' * bool(reasons)}"
            if missing
            else ""
        )


def query_transactions(statement: str) -> Callable[[Connection], list[OpenTransaction]]:
    """Return a function for `Backend.transactions` that executes this query.

    Args:
        statement: Returns the columns of `OpenTransaction`.
    """
    return lambda connection: [OpenTransaction(*map(str, row)) for row in connection.rows(statement)]


def no_readers(_connection: Connection) -> list[OpenTransaction]:
    """Return nothing, for servers whose `transactions` include those that only read."""
    return []


def query_shared(connection: Connection, *queries: str) -> list[SharedObjects]:
    """Return the items of `Backend.shared`, one for each query.

    The server refuses some: a user who may not see a kind of object can hardly change it.

    Args:
        connection: A connection to the server.
        queries: Each returns the columns of `SharedObject`.
    """
    found: list[SharedObjects] = []
    for query in queries:
        try:
            objects = [SharedObject(*(str(value or "") for value in row)) for row in connection.rows(query)]
            found.append({each.label: each for each in objects})
        except Exception:  # noqa: BLE001 - the driver's
            found.append(None)
    return found


def quoted(text: str) -> str:
    """Return the text as an SQL literal."""
    return "'{}'".format(text.replace("'", "''"))


def delete_one_by_one(begin: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return a function for `Backend.empty`, for connections that do not check foreign keys."""
    return lambda tables: [begin, *(f"DELETE FROM {table}" for table in tables), "COMMIT"]  # noqa: S608

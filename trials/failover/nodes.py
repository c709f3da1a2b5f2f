"""Observe the two servers of a pair, and change their roles as a database role that can do nothing else."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from os import PathLike
from threading import Lock

from sqlalchemy.engine import URL

from app.database.url import database_url, read_password
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.redaction import tidy

# The ports of the gate that lead to one server each: docker/gate/postgresql-nodes.cfg.
PORTS = {"first": 5433, "second": 5434}
START = "docker compose --profile failover up --build --wait"

# Seconds.
EVERY = 0.2
LATE = 2.0
WITHIN = 10.0
"""The time for a change of a role."""
KEPT = 90.0
"""How long samples are kept, which is longer than the axis."""

# Positions are in bytes of the log; the age is that of the last transaction that a standby has applied.
SAMPLE = """
    SELECT standby, current_setting('default_transaction_read_only') = 'on',
           CASE WHEN standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn,
           extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float,
           current_setting('synchronous_standby_names') <> ''
    FROM pg_is_in_recovery() standby
"""
# docker/postgresql/serve creates the function.
STILL_WRITE = "SELECT transactions_that_write()"
POSITION = "SELECT pg_current_wal_lsn()"
RECEIVED = "SELECT coalesce(pg_last_wal_receive_lsn() >= '{}', false)"
DEMOTE = ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
TAKE_BACK = ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
PROMOTE = (f"SELECT pg_promote(true, {WITHIN:.0f})",)


class Role(StrEnum):
    """The role of a server, as the page names it."""

    PRIMARY = "primary"
    STANDBY = "standby"
    DEMOTED = "demoted"
    AWAY = "not reachable"


class RefusedError(Exception):
    """A change of a role that would lose data, or that failed."""


@dataclass(frozen=True)
class Sample:
    """The answer of a server at one moment of `time.monotonic`."""

    at: float
    role: Role
    position: int = 0
    """The byte of the log up to which a primary has written, or a standby has applied."""
    age: float | None = None
    """The seconds since the last transaction that a standby has applied, if there was one."""
    waits: bool = False
    """Whether commits wait until a standby has stored them."""


@dataclass(frozen=True)
class Lag:
    """How far a standby is behind its primary."""

    at: float
    size: int
    """Bytes of the log."""
    seconds: float


class Node:
    """One server of the pair, at its port of the gate."""

    def __init__(self, name: str, gate: URL, password_file: str | PathLike[str]) -> None:
        self.name = name
        self.samples: deque[Sample] = deque()
        """Not older than `KEPT`, the newest last."""
        self._url = gate.set(username="operator", port=PORTS[name], database="postgres")
        self._password_file = password_file
        self._connection: Connection | None = None

    def connect(self) -> Connection:
        """Return a new connection of the operator; it connects on first use, and the caller closes it.

        Raises:
            OSError: The file of the password cannot be read.
        """
        url = self._url.set(password=read_password(self._password_file))
        return Connection(url, options=BACKENDS["postgresql"].login_options)

    def look(self) -> float:
        """Add a sample, and return the seconds until the next one. One thread at a time may call it."""
        try:
            self._connection = self._connection or self.connect()
            ((standby, read_only, position, age, waits),) = self._connection.rows(SAMPLE)
            role = Role.STANDBY if standby else Role.DEMOTED if read_only else Role.PRIMARY
            sample = Sample(time.monotonic(), role, int(position), age if standby else None, waits=waits)
        except Exception:  # noqa: BLE001 - the driver's: the server is away
            sample = Sample(time.monotonic(), Role.AWAY)
        self.samples.append(sample)
        while self.samples[0].at < sample.at - KEPT:
            self.samples.popleft()
        return EVERY

    @property
    def now(self) -> Sample:
        """Return the current sample; a server that does not answer for a while is away."""
        moment = time.monotonic()
        latest = self.samples[-1] if self.samples else None
        return latest if latest and moment - latest.at < LATE else Sample(moment, Role.AWAY)

    def roles(self) -> list[tuple[float, float, Role]]:
        """Return the beginning and end of each time in which the server had one role."""
        spans: list[tuple[float, float, Role]] = []
        samples = list(self.samples)
        for sample, following in pairwise([*samples, Sample(time.monotonic(), Role.AWAY)]):
            known = min(following.at, sample.at + LATE)
            if spans and spans[-1][2] is sample.role and spans[-1][1] >= sample.at:
                spans[-1] = (spans[-1][0], known, sample.role)
            else:
                spans.append((sample.at, known, sample.role))
        return spans

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()


class Pair:
    """Both servers of the pair."""

    def __init__(self, gate: str, password_file: str | PathLike[str]) -> None:
        """Describe the servers. Nothing connects yet.

        Args:
            gate: The address that leads to the server that takes writes.
            password_file: The file with the password of the role `operator`.
        """
        self.nodes = {name: Node(name, database_url(gate), password_file) for name in PORTS}
        self._changing = Lock()

    def other(self, name: str) -> Node:
        """Return the server that has not this name."""
        (other,) = (node for node in self.nodes.values() if node.name != name)
        return other

    def lag(self, name: str) -> list[Lag]:
        """Return how far a server was behind the primary, for each sample in which it was a standby."""
        written = [sample for sample in self.other(name).samples if sample.role is not Role.STANDBY]
        found: list[Lag] = []
        last, at = 0, 0
        for sample in list(self.nodes[name].samples):
            # Compare with an older sample of the primary: a newer one may have what was not yet written.
            while at < len(written) and written[at].at <= sample.at:
                last = written[at].position if written[at].role is not Role.AWAY else 0
                at += 1
            if sample.role is Role.STANDBY and last:
                behind = max(0, last - sample.position)
                found.append(Lag(sample.at, behind, (sample.age or 0.0) if behind else 0.0))
        return found

    def promote(self, name: str) -> str:
        """Let a server take writes, and return a sentence about that.

        Raises:
            RefusedError: The other server takes writes, or this one does not answer.
        """
        with self._changing:
            node, other = self.nodes[name], self.other(name)
            role = node.now.role
            if other.now.role is Role.PRIMARY:
                message = f"{other.name} takes writes. Demote or kill it first."
                raise RefusedError(message)
            if role in {Role.PRIMARY, Role.AWAY}:
                message = f"{name} {'takes writes already' if role is Role.PRIMARY else 'does not answer'}."
                raise RefusedError(message)
            begun = time.monotonic()
            with _connected(node) as connection:
                connection.run(PROMOTE if role is Role.STANDBY else TAKE_BACK)
                _wait(lambda: node.now.role is Role.PRIMARY, f"{name} takes no writes")
            return f"{name} was promoted in {time.monotonic() - begun:.2f} s."

    def demote(self, name: str) -> str:
        """Let a server refuse writes and the standby catch up, and return a sentence about that.

        A standby that is promoted earlier loses the transactions that the primary still commits.

        Raises:
            RefusedError: The server is no primary, or the standby does not catch up in time.
        """
        with self._changing:
            node, other = self.nodes[name], self.other(name)
            if node.now.role is not Role.PRIMARY:
                message = f"{name} is no primary."
                raise RefusedError(message)
            begun = time.monotonic()
            with _connected(node) as connection, _connected(other) as standby:
                connection.run(DEMOTE)
                _wait(lambda: not _value(connection, STILL_WRITE), f"Transactions on {name} do not end")
                position = _value(connection, POSITION)
                if other.now.role is Role.STANDBY:
                    received = RECEIVED.format(position)
                    _wait(lambda: _value(standby, received), f"{other.name} does not get the rest of the log")
                # Otherwise a promotion right after it is refused, as the last sample shows a primary.
                _wait(lambda: node.now.role is not Role.PRIMARY, f"{name} takes writes")
            return f"{name} was demoted in {time.monotonic() - begun:.2f} s. It answers, and refuses writes."


@contextmanager
def _connected(node: Node) -> Iterator[Connection]:
    """Connect as the operator; raise the errors of the driver as `RefusedError`."""
    try:
        with closing(node.connect()) as connection:
            yield connection
    except RefusedError:
        raise
    except Exception as error:
        message = f"{node.name} refused: {tidy(str(error))}"
        raise RefusedError(message) from error


def _value(connection: Connection, query: str) -> object:
    return connection.rows(query)[0][0]


def _wait(condition: Callable[[], object], problem: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            message = f"{problem} within {WITHIN:.0f} s."
            raise RefusedError(message)
        time.sleep(0.02)

"""Describe how a kind of database replicates: a primary, a standby, and the change of their roles."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

# The names of the two servers in their network, which docker/gate and docker/*/serve use.
FIRST, SECOND = "first", "second"


@dataclass(frozen=True, slots=True)
class Replication:
    """How the servers of a pair start, and the statements that change their roles, as data."""

    gate: Recipe
    """The image of HAProxy, with the check that finds the server that takes writes."""
    primary: tuple[str, ...]
    standby: tuple[str, ...]
    """The commands that start the servers; the standby follows the server with the name `FIRST`."""
    synchronous: tuple[str, ...]
    """Arguments with which the primary acknowledges no commit that the standby has not stored."""
    superuser: tuple[str, ...]
    """The command that executes a statement, which follows, inside the container as the superuser."""
    promote: tuple[str, ...]
    """Executed on the standby: it takes writes."""
    demote: tuple[str, ...]
    """Executed on the primary: it answers, keeps its connections and refuses writes."""
    writers: str
    """Counts the transactions that still write on a demoted primary; the superuser executes it."""
    session: str
    """Returns the id of the connection that asks."""
    takes_writes: str
    """Returns 1 on a server that takes writes."""
    position: str
    """Returns how far the primary has written."""
    received: str
    """Returns 1 on a standby that has stored everything up to `{position}`."""
    applied: str
    """Returns 1 on a standby whose queries return everything up to `{position}`."""
    stop_applying: tuple[str, ...]
    """Executed on the standby: it stores what the primary sends, and its queries return older rows."""
    resume_applying: tuple[str, ...]
    stop_receiving: tuple[str, ...]
    """Executed on the standby: it disconnects from the primary."""


REPLICATION: Mapping[str, Replication] = MappingProxyType(
    {
        "postgresql": Replication(
            gate=Recipe(
                folder="docker/gate",
                variable="HAPROXY_IMAGE",
                port=5432,
                client="docker logs {container}",
                command=("/opt/testbed/postgresql.cfg",),
                memory=(),
                build="make have-haproxy",
            ),
            primary=("primary",),
            standby=("standby",),
            synchronous=("-c", "synchronous_standby_names=*"),
            superuser=("psql", "-U", "postgres", "-d", "postgres", "-At", "-c"),
            promote=("SELECT pg_promote()",),
            demote=("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"),
            # A transaction keeps the setting that it began with.
            writers="""
                SELECT count(*) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                  AND (backend_xid IS NOT NULL OR xact_start < pg_conf_load_time())
            """,
            session="SELECT pg_backend_pid()",
            takes_writes="SELECT (current_setting('transaction_read_only') = 'off')::int",
            position="SELECT pg_current_wal_lsn()",
            received="SELECT coalesce(pg_last_wal_receive_lsn() >= '{position}', false)::int",
            applied="SELECT coalesce(pg_last_wal_replay_lsn() >= '{position}', false)::int",
            stop_applying=("SELECT pg_wal_replay_pause()",),
            resume_applying=("SELECT pg_wal_replay_resume()",),
            stop_receiving=("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"),
        )
    }
)

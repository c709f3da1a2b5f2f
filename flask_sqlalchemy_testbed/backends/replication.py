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
# What a replica of MySQL has stored.
REPLICA = "performance_schema.replication_connection_status"
# The thread that gives the stored transactions to those that apply them.
APPLIER = "performance_schema.threads WHERE name = 'thread/sql/replica_sql'"


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
    """Returns 1 on a standby that follows and has stored everything up to `{position}`."""
    applied: str
    """Returns 1 on a standby whose queries return everything up to `{position}`."""
    stop_applying: tuple[str, ...]
    """Executed on the standby: it stores what the primary sends, and its queries return older rows."""
    resume_applying: tuple[str, ...]
    stop_receiving: tuple[str, ...]
    """Executed on the standby: it disconnects from the primary."""


def _gate(port: int, configuration: str) -> Recipe:
    return Recipe(
        folder="docker/gate",
        variable="HAPROXY_IMAGE",
        port=port,
        client="docker logs {container}",
        command=(f"/opt/testbed/{configuration}",),
        memory=(),
        build="make have-haproxy",
    )


REPLICATION: Mapping[str, Replication] = MappingProxyType(
    {
        "postgresql": Replication(
            gate=_gate(5432, "postgresql.cfg"),
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
        ),
        "mysql": Replication(
            gate=_gate(3306, "mysql.cfg"),
            primary=("primary",),
            standby=("standby",),
            # After the timeout, in milliseconds, the source would acknowledge what no replica has.
            synchronous=("--rpl-semi-sync-source-enabled=ON", "--rpl-semi-sync-source-timeout=3600000"),
            superuser=("mysql", "-u", "root", "-N", "-e"),
            # A replica that takes writes does not apply the rest of what it has stored.
            promote=(
                "STOP REPLICA IO_THREAD",
                "START REPLICA SQL_THREAD",
                # After 20 s it fails: the second subquery returns two rows.
                f"SELECT IF(WAIT_FOR_EXECUTED_GTID_SET(received_transaction_set, 20), (SELECT 1 UNION SELECT 2), 0) FROM {REPLICA}",  # noqa: S608 - a constant
                # STOP REPLICA alone waits 60 s for the rest of a transaction that was being received.
                f"SET @applier = (SELECT processlist_id FROM {APPLIER}); KILL @applier",  # noqa: S608 - as above
                "STOP REPLICA",
                "RESET REPLICA ALL",
                "SET GLOBAL super_read_only = OFF",
                "SET GLOBAL read_only = OFF",
            ),
            # It waits for commits that are under way; a transaction that commits later is refused.
            demote=("SET GLOBAL super_read_only = ON",),
            writers="SELECT 0",
            session="SELECT CONNECTION_ID()",
            takes_writes="SELECT NOT @@read_only",
            position="SELECT @@gtid_executed",
            received="SELECT GTID_SUBSET('{position}', received_transaction_set) AND service_state = 'ON'"  # noqa: S608 - as above
            f" FROM {REPLICA}",
            applied="SELECT GTID_SUBSET('{position}', @@gtid_executed)",
            stop_applying=("STOP REPLICA SQL_THREAD",),
            resume_applying=("START REPLICA SQL_THREAD",),
            stop_receiving=("STOP REPLICA IO_THREAD",),
        ),
        "mariadb": Replication(
            gate=_gate(3306, "mariadb.cfg"),
            primary=("primary",),
            standby=("standby",),
            # After the timeout, in milliseconds, the primary would acknowledge what no replica has.
            synchronous=("--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-timeout=3600000"),
            superuser=("mariadb", "--skip-ssl", "--socket=/run/mysqld/mysqld.sock", "-u", "root", "-N", "-e"),
            # If both threads were stopped, the next start of one would delete what is stored and not yet applied.
            promote=(
                "START SLAVE SQL_THREAD",
                "STOP SLAVE IO_THREAD",
                # After 20 s it fails: the second subquery returns two rows.
                "SELECT IF(MASTER_GTID_WAIT(gtid_io_pos, 20), (SELECT 1 UNION SELECT 2), 0) FROM information_schema.slave_status",
                "STOP SLAVE",
                "RESET SLAVE ALL",
                "SET GLOBAL read_only = OFF",
            ),
            # It waits for commits that are under way; a transaction that commits later is refused.
            demote=("SET GLOBAL read_only = ON",),
            writers="SELECT 0",
            session="SELECT CONNECTION_ID()",
            takes_writes="SELECT NOT @@read_only",
            position="SELECT @@gtid_binlog_pos",
            # No query of the app's user returns what is stored and not yet applied.
            received="SELECT MASTER_GTID_WAIT('{position}', 0) = 0 AND 'ON' = ("
            "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'SLAVE_RUNNING')",
            applied="SELECT MASTER_GTID_WAIT('{position}', 0) = 0",
            stop_applying=("STOP SLAVE SQL_THREAD",),
            resume_applying=("START SLAVE SQL_THREAD",),
            stop_receiving=("STOP SLAVE IO_THREAD",),
        ),
    }
)

"""PostgreSQL, 14 and newer."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from testbed.backend import NAME_PATTERN, Backend, Recipe, ask

if TYPE_CHECKING:
    from collections.abc import Sequence


def delete_all_at_once(tables: Sequence[str]) -> Sequence[str]:
    """Foreign keys are checked when a statement ends: one may empty tables in any order, circles included."""
    deletes = ", ".join(f"_{number} AS (DELETE FROM {table})" for number, table in enumerate(tables))  # noqa: S608
    return [f"WITH {deletes} SELECT 1"]


POSTGRESQL = Backend(
    name="postgresql",
    drivername="postgresql+psycopg2",
    schemes=frozenset({"postgresql", "postgres"}),
    capabilities=frozenset({"server", "restarts-identities"}),
    recipe=Recipe(
        folder="docker/postgresql",
        variable="POSTGRESQL_IMAGE",
        port=5432,
        client="docker exec -it -e PGPASSWORD=testbed {container} psql -h 127.0.0.1 -U testbed {database}",
    ),
    login_options=MappingProxyType({"connect_timeout": 2}),
    refusal=r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist"
    r"|could not translate host name|permission denied for database|invalid (port|connection option)",
    connect_options=MappingProxyType({"connect_timeout": 5}),
    patience=(
        "SET lock_timeout = '3s'",
        "SET statement_timeout = '30s'",
        "SET client_min_messages = 'error'",
    ),
    version="SELECT current_setting('server_version')",
    complaint="SELECT 'the role may not make databases: ALTER ROLE ' || quote_ident(rolname) || ' CREATEDB'"
    " FROM pg_roles WHERE rolname = current_user AND NOT rolcreatedb AND NOT rolsuper",
    whereabouts="SELECT current_database()",
    databases="SELECT datname FROM pg_database",
    lock="SELECT pg_advisory_lock(hashtextextended('{database}', 0))",
    # An advisory lock belongs to the database that its holder is logged in to, but it can be seen from any.
    stale=f"""
        SELECT datname FROM pg_database
        WHERE datname ~ '{NAME_PATTERN}' AND datdba = current_user::regrole
          AND shobj_description(oid, 'pg_database') IS DISTINCT FROM 'kept'
          AND hashtextextended(datname, 0) NOT IN (
              SELECT classid::bigint << 32 | objid::bigint FROM pg_locks WHERE locktype = 'advisory')
    """,  # noqa: S608
    create=("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8'",),
    keep=("COMMENT ON DATABASE {database} IS 'kept'",),
    drop=("DROP DATABASE IF EXISTS {database} WITH (FORCE)",),
    # Row versions (xmin) stand for definitions: every ALTER writes new rows into the catalogue.
    objects="""
        WITH spaces AS (
            SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        ), of_extensions AS (
            SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
        ), relations AS (
            SELECT c.oid, relkind IN ('r', 'p') AS is_table, NOT relispartition AS is_whole,
                   format('%I.%I', nspname, relname) AS name,
                   concat_ws(' ', c.oid, relrowsecurity, relpersistence, reloptions) AS definition,
                   CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'c' THEN 'TYPE'
                       WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind
            FROM pg_class c JOIN spaces s ON s.oid = relnamespace
            WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
              AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM of_extensions)
        )
        SELECT kind || ' ' || name, definition, format('DROP %s IF EXISTS %s CASCADE', kind, name),
               CASE WHEN is_table AND is_whole THEN name END
        FROM relations
        UNION ALL
        SELECT 'columns ' || name, string_agg(concat_ws(' ', attnum, a.xmin), ' ' ORDER BY attnum), NULL, NULL
        FROM relations r JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 WHERE is_table GROUP BY name
        UNION ALL
        SELECT 'default ' || name || ' ' || adnum, concat_ws(' ', d.oid, d.xmin), NULL, NULL
        FROM relations r JOIN pg_attrdef d ON adrelid = r.oid
        UNION ALL
        SELECT 'constraint ' || name || ' ' || conname, concat_ws(' ', k.oid, k.xmin), NULL, NULL
        FROM relations r JOIN pg_constraint k ON conrelid = r.oid
        UNION ALL
        SELECT 'index ' || indexrelid::regclass, concat_ws(' ', indexrelid, i.xmin), NULL, NULL
        FROM relations r JOIN pg_index i ON indrelid = r.oid
        UNION ALL
        SELECT 'trigger ' || name || ' ' || tgname, concat_ws(' ', t.oid, t.xmin), NULL, NULL
        FROM relations r JOIN pg_trigger t ON tgrelid = r.oid AND NOT tgisinternal
        UNION ALL
        SELECT 'type ' || t.oid::regtype, concat_ws(' ', t.oid, t.xmin, labels),
               format('DROP TYPE IF EXISTS %s CASCADE', t.oid::regtype), NULL
        FROM pg_type t JOIN spaces s ON s.oid = typnamespace
        LEFT JOIN (SELECT enumtypid, string_agg(concat_ws(' ', oid, xmin), ' ' ORDER BY oid) AS labels
                   FROM pg_enum GROUP BY enumtypid) e ON enumtypid = t.oid
        WHERE typtype IN ('e', 'd', 'r')
        UNION ALL
        SELECT 'routine ' || p.oid::regprocedure, concat_ws(' ', p.oid, p.xmin),
               format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure), NULL
        FROM pg_proc p JOIN spaces s ON s.oid = pronamespace
        WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM of_extensions)
        UNION ALL
        SELECT 'schema ' || nspname, oid::text, format('DROP SCHEMA IF EXISTS %I CASCADE', nspname), NULL
        FROM spaces
        UNION ALL
        SELECT 'extension ' || extname, extversion,
               format('DROP EXTENSION IF EXISTS %I CASCADE', extname), NULL
        FROM pg_extension
    """,
    empty=delete_all_at_once,
    identities="""
        SELECT seqrelid::regclass::text,
               format('SELECT setval(%L, %s, %L)', seqrelid::regclass, coalesce(last, seqstart),
                      last IS NOT NULL)
        FROM pg_sequence, LATERAL (SELECT pg_sequence_last_value(seqrelid) AS last) l
    """,
    transactions=ask("""
        SELECT pid, format('%s for %s ms; last statement: %s', state,
                           round(extract(epoch FROM clock_timestamp() - xact_start) * 1000), left(query, 300))
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          AND backend_type = 'client backend'
    """),
    sessions="SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'",
    terminate="SELECT pg_terminate_backend({session})",
    settings="""
        SELECT name, current_setting(name) FROM pg_settings
        WHERE source IN ('configuration file', 'command line', 'environment variable', 'global') OR name IN (
            'default_transaction_isolation', 'fsync', 'idle_in_transaction_session_timeout', 'max_connections',
            'server_encoding', 'synchronous_commit', 'TimeZone')
        ORDER BY lower(name)
    """,
    activity="""
        SELECT format('session %s: %s for %s ms, waits for %s, blocked by {%s}, locks [%s]; last statement: %s', pid, state,
               round(extract(epoch FROM clock_timestamp() - state_change) * 1000),
               coalesce(wait_event_type || ' ' || wait_event, 'nothing'), array_to_string(pg_blocking_pids(pid), ', '),
               (SELECT string_agg(concat_ws(' ', CASE WHEN granted THEN 'has' ELSE 'WANTS' END, mode, locktype, relation::regclass), ', ')
                FROM pg_locks l WHERE l.pid = a.pid AND locktype <> 'virtualxid'), left(query, 300))
        FROM pg_stat_activity a
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        ORDER BY pid
    """,
)

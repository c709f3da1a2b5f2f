"""PostgreSQL, 14 and newer."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import (
    NAME_PATTERN,
    Backend,
    Greeting,
    Pooler,
    Recipe,
    Snapshot,
    no_readers,
    query_shared,
    query_transactions,
    quoted,
)
from flask_sqlalchemy_testbed.backends.drivers import Driver
from flask_sqlalchemy_testbed.backends.postgresql_shared import OWN_DATABASE, SHARED, SHARED_STATEMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import BuiltContents
    from flask_sqlalchemy_testbed.backends.connection import Connection


# Objects of extensions that an administrator usually creates: PostGIS, uuid-ossp, pgcrypto, pg_trgm and others.
OF_EXTENSIONS = (
    r"geometry|geography|raster|topogeometry|box[23]d|st_\w+|addgeometrycolumn|uuid_(generate|ns)_\w+"
    r"|crypt|gen_salt|gen_random_bytes|digest|hmac|pgp_\w+|similarity|word_similarity|\w+_trgm_ops|unaccent"
    r"|hstore|citext|ltree|lquery|cube|earth|ll_to_earth|(half|sparse)?vec(tor)?|(half|sparse)?vec(tor)?_\w+_ops"
    r"|levenshtein|soundex|dmetaphone|crosstab|create_hypertable"
)
LACKING = (
    r'extension ".+" (is not available|has no installation script)|shared_preload_libraries|wal_level'
    r"|could not (open extension control file|access file|load library)"
    r"|permission denied (to|for (language|database|tablespace|foreign-data wrapper|parameter|schema public|\w+ pg_))"
    r"|must be (superuser|owner of extension)"
    r'|(access method|language|foreign-data wrapper|collation|tablespace|role) ".+" (for encoding ".+" )?does not exist'
    rf'|(type|function|operator class) "?(\w+\.)?({OF_EXTENSIONS})\b.* does not exist'
    # btree_gist is missing.
    r'|has no default operator class for access method "gist"'
)


def delete_all_at_once(tables: Sequence[str]) -> Sequence[str]:
    """Delete in one statement: foreign keys are checked at its end, so cycles are allowed."""
    deletes = ", ".join(f"_{number} AS (DELETE FROM {table})" for number, table in enumerate(tables))  # noqa: S608
    return [f"WITH {deletes} SELECT 1"]


# Each change of a definition writes rows with a newer transaction number (xmin) than every older row. So the
# number of rows and the sum of their xmin repeat only if no row was written or removed. The server's own
# objects have lower oids. A new default also writes its column's row.
CATALOGUES = {
    "pg_class": "oid >= 16384",
    "pg_attribute": "attnum > 0 AND attrelid >= 16384",
    "pg_constraint": "oid >= 16384",
    "pg_index": "indexrelid >= 16384",
    "pg_trigger": "oid >= 16384",
    "pg_rewrite": "oid >= 16384",
    "pg_sequence": "seqrelid >= 16384",
    "pg_type": "oid >= 16384",
    "pg_enum": "oid >= 16384",
    "pg_proc": "oid >= 16384",
    "pg_namespace": "true",  # `public` has a low oid
    "pg_policy": "oid >= 16384",
    "pg_extension": "true",  # the extensions of template0 have low oids
}
# A snapshot of these too would take 0.2 ms more: `objects` alone looks at them.
RARE_CATALOGUES = {
    "pg_am": "oid >= 16384",
    "pg_amop": "oid >= 16384",
    "pg_amproc": "oid >= 16384",
    "pg_cast": "oid >= 16384",
    "pg_collation": "oid >= 16384",
    "pg_conversion": "oid >= 16384",
    "pg_database": f"oid = {OWN_DATABASE}",
    "pg_db_role_setting": f"setdatabase = {OWN_DATABASE}",
    "pg_default_acl": "true",
    "pg_description": "objoid >= 16384 OR objoid = to_regnamespace('public')",
    "pg_event_trigger": "true",
    "pg_foreign_data_wrapper": "true",
    "pg_foreign_server": "true",
    "pg_foreign_table": "true",
    "pg_inherits": "true",
    "pg_language": "true",
    "pg_largeobject_metadata": "true",
    "pg_opclass": "oid >= 16384",
    "pg_operator": "oid >= 16384",
    "pg_opfamily": "oid >= 16384",
    "pg_partitioned_table": "true",
    "pg_publication": "true",
    "pg_publication_rel": "true",
    "pg_range": "true",
    "pg_seclabel": "true",
    "pg_shdescription": f"objoid = {OWN_DATABASE} AND classoid = 'pg_database'::regclass",
    "pg_statistic_ext": "true",
    "pg_transform": "true",
    "pg_ts_config": "true",
    "pg_ts_config_map": "mapcfg >= 16384",
    "pg_ts_dict": "true",
    "pg_ts_parser": "true",
    "pg_ts_template": "true",
    "pg_type": "oid >= 16384",
}


def fingerprint(catalogue: str, condition: str) -> str:
    """Return a query whose result is the same only if no row of a catalogue was written.

    Args:
        catalogue: The name of a table of the catalogue.
        condition: Selects the rows that belong to this database and are not the server's own.
    """
    # age() needs no text, but gives no xmin of rows that initdb has written.
    is_quick = condition.endswith(">= 16384")
    newest = "count(*) * age(xid '3') - sum(age(xmin))" if is_quick else "sum(xmin::text::bigint)"
    return f"SELECT count(*) || ' ' || coalesce({newest}, 0) FROM {catalogue} WHERE {condition}"  # noqa: S608


OBJECTS = ", ".join(f"({fingerprint(*each)})" for each in CATALOGUES.items())
RARE_OBJECTS = " UNION ALL ".join(
    f"SELECT 'catalogue {name}', ({fingerprint(name, condition)}), NULL, NULL"
    for name, condition in RARE_CATALOGUES.items()
)
VOLATILE = (
    "'{relfilenode,relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,relrewrite,"
    "relhasindex,relhasrules,relhastriggers,relhassubclass}'::text[]"
)
# This is a separate statement and runs first: later statements see all that the idle sessions have committed.
BUSY = """
    SELECT set_config('testbed.busy', (SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          AND backend_type = 'client backend'), false)
"""
SNAPSHOT = ("EXECUTE testbed_busy", "EXECUTE testbed_snapshot")
# Each snapshot scans the dead rows of a table until VACUUM removes them.
DELETES_BEFORE_VACUUM = 200


class PostgresqlTracker:
    """Use prepared statements: planning a large query takes longer than running it."""

    def __init__(self, connection: Connection, built: BuiltContents) -> None:
        self._connection = connection
        self._deletes = dict.fromkeys(built.empty, 0)
        self._tables = [*built.empty, *built.rows]
        self._restart = {name: _restart(connection, name) for name in built.identities}
        self._numbered = [*self._tables, *self._restart.values()]
        written = [
            *(f"EXISTS (SELECT FROM {table})" for table in built.empty),
            *(f"NOT EXISTS ({_same_rows(connection, table)})" for table in built.rows),
        ]
        questions = [f"SELECT {number}, NULL WHERE {question}" for number, question in enumerate(written)]
        questions += _moved(connection, list(self._restart), len(written))
        first = f"SELECT -1, concat_ws(', ', current_setting('testbed.busy'), {OBJECTS})"
        self._plans = (
            f"PREPARE testbed_busy AS {BUSY}",
            f"PREPARE testbed_snapshot AS {' UNION ALL '.join([first, *questions])}",
        )
        self._prepared_on = 0

    def snapshot(self) -> Snapshot:
        """Prepare the statements again on a new connection: they belong to the session."""
        if self._prepared_on != self._connection.times_connected:
            self._connection.run(["SELECT 1", "DEALLOCATE ALL", *self._plans])
            self._prepared_on = self._connection.times_connected
        (_, text), *found = self._connection.batch(SNAPSHOT)
        busy, _, objects = text.partition(", ")
        numbers = [number for number, _ in found]
        split = len(self._tables)
        written = [self._numbered[number] for number in numbers if number < split]
        moved = [self._numbered[number] for number in numbers if number >= split]
        return Snapshot(busy.split(), objects, written, moved)

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Delete the rows, and sometimes vacuum."""
        self._connection.batch([*(delete_all_at_once(tables) if tables else ()), *restart])
        for table in tables:
            self._deletes[table] += 1
            if self._deletes[table] % DELETES_BEFORE_VACUUM == 0:
                self._connection.rows(f"VACUUM {table}")

    def accept(self, tables: Sequence[str]) -> None:
        """Do nothing: rows that were written again have another xmin, so `written` lists them again."""


def _same_rows(connection: Connection, table: str) -> str:
    """Return a query that finds a row only while the table is unchanged; see CATALOGUES."""
    ((count, newest),) = connection.rows(f"SELECT count(*), sum(xmin::text::bigint) FROM {table}")  # noqa: S608
    return f"SELECT FROM {table} HAVING count(*) = {count} AND sum(xmin::text::bigint) = {newest}"


def _state(connection: Connection, sequence: str) -> tuple[int, bool]:
    ((last, called),) = connection.rows(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608
    return last, called


def _restart(connection: Connection, sequence: str) -> str:
    last, called = _state(connection, sequence)
    return f"SELECT setval({quoted(sequence)}, {last}, {called})"


def _moved(connection: Connection, sequences: Sequence[str], start: int) -> list[str]:
    """Return queries for the sequences that have moved since this call.

    The queries number them from `start` on.
    """
    states = [(*known, *_state(connection, known[1])) for known in enumerate(sequences, start)]
    if not states:
        return []
    if connection.rows("SELECT 1 WHERE to_regproc('pg_get_sequence_data') IS NULL"):  # It is new in 18.
        return [
            f"SELECT {number}, NULL FROM {name} WHERE (last_value, is_called) <> ({last}, {called})"  # noqa: S608
            for number, name, last, called in states
        ]
    values = ", ".join(
        f"({number}, {quoted(name)}::regclass, {last}, {called})" for number, name, last, called in states
    )
    stood = f"(VALUES {values}) AS stood (number, sequence, last, called)"
    stand = "pg_get_sequence_data(sequence) AS stand"
    return [
        f"SELECT number, NULL FROM {stood}, {stand} WHERE (stand.last_value, is_called) <> (last, called)"  # noqa: S608
    ]


POSTGRESQL = Backend(
    name="postgresql",
    drivers=(Driver("psycopg2", "psycopg2-binary"), Driver("psycopg", "psycopg[binary]")),
    schemes=frozenset({"postgresql", "postgres"}),
    capabilities=frozenset(
        {"server", "replicates", "restarts-identities", "local-settings", "survives-full-disk"}
    ),
    recipe=Recipe(
        folder="docker/postgresql",
        variable="POSTGRESQL_IMAGE",
        port=5432,
        client="docker exec -it -e PGPASSWORD=testbed {container} psql -h 127.0.0.1 -U testbed {database}",
    ),
    poolers=MappingProxyType(
        {
            "pgbouncer": Pooler(
                folder="docker/pgbouncer",
                variable="PGBOUNCER_IMAGE",
                port=6432,
                client="docker exec -it {container} cat /tmp/pgbouncer.ini",
                command=(),
                memory=(),
                console="pgbouncer",
                renew="RECONNECT {database}",
            )
        }
    ),
    lacking=LACKING,
    login_options=MappingProxyType({"connect_timeout": 2}),
    fatal_login_error=r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist"
    r"|could not translate host name|Name or service not known|permission denied for database"
    r"|invalid (port|connection option)",
    connect_options=MappingProxyType({"connect_timeout": 5}),
    session_setup=(
        "SET lock_timeout = '3s'",
        "SET statement_timeout = '30s'",
        "SET client_min_messages = 'error'",
        # A test may have made it the default of the role or the database.
        "SET default_transaction_read_only = off",
    ),
    version="SELECT current_setting('server_version')",
    unmet_requirements="SELECT 'the role may not create databases; run ALTER ROLE ' || quote_ident(rolname) || ' CREATEDB'"
    " FROM pg_roles WHERE rolname = current_user AND NOT rolcreatedb AND NOT rolsuper",
    current_database="SELECT current_database()",
    databases="SELECT datname FROM pg_database",
    lock="SELECT pg_advisory_lock(hashtextextended('{database}', 0))",
    # Advisory locks belong to the database of their session, but pg_locks shows those of all databases.
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
    # Row versions (xmin) stand for definitions: every ALTER writes rows into the catalogue. Of pg_class some columns
    # are left out: the server writes them when rows change, or when an index was dropped.
    objects=f"""
        WITH spaces AS (
            SELECT oid, xmin, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        ), of_extensions AS (
            SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
        ), relations AS (
            SELECT c.oid, NOT relispartition AND relispopulated AND relkind IN ('r', 'p', 'm') AS is_whole,
                   format('%I.%I', nspname, relname) AS name,
                   (to_jsonb(c) - {VOLATILE})::text AS definition,
                   CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'c' THEN 'TYPE'
                       WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind
            FROM pg_class c JOIN spaces s ON s.oid = relnamespace
            WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
              AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM of_extensions)
        )
        SELECT kind || ' ' || name, definition, format('DROP %s IF EXISTS %s CASCADE', kind, name),
               CASE WHEN is_whole THEN name END
        FROM relations
        UNION ALL
        SELECT 'columns ' || name, string_agg(concat_ws(' ', attnum, a.xmin), ' ' ORDER BY attnum), NULL, NULL
        FROM relations r JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 GROUP BY name
        UNION ALL
        SELECT 'default ' || name || ' ' || adnum, concat_ws(' ', d.oid, d.xmin), NULL, NULL
        FROM relations r JOIN pg_attrdef d ON adrelid = r.oid
        UNION ALL
        SELECT 'constraint ' || name || ' ' || conname, concat_ws(' ', k.oid, k.xmin), NULL, NULL
        FROM relations r JOIN pg_constraint k ON conrelid = r.oid
        UNION ALL
        SELECT 'index ' || indexrelid::regclass, concat_ws(' ', i.xmin, to_jsonb(c) - {VOLATILE}), NULL, NULL
        FROM relations r JOIN pg_index i ON indrelid = r.oid JOIN pg_class c ON c.oid = indexrelid
        UNION ALL
        SELECT 'trigger ' || name || ' ' || tgname, concat_ws(' ', t.oid, t.xmin), NULL, NULL
        FROM relations r JOIN pg_trigger t ON tgrelid = r.oid AND NOT tgisinternal
        UNION ALL
        SELECT 'rule ' || name || ' ' || rulename, concat_ws(' ', w.oid, w.xmin), NULL, NULL
        FROM relations r JOIN pg_rewrite w ON ev_class = r.oid AND rulename <> '_RETURN'
        UNION ALL
        SELECT 'query ' || name, concat_ws(' ', w.oid, w.xmin), NULL, NULL
        FROM relations r JOIN pg_rewrite w ON ev_class = r.oid AND rulename = '_RETURN'
        UNION ALL
        SELECT 'policy ' || name || ' ' || polname, concat_ws(' ', l.oid, l.xmin), NULL, NULL
        FROM relations r JOIN pg_policy l ON polrelid = r.oid
        UNION ALL
        SELECT 'numbers of ' || seqrelid::regclass, s.xmin::text, NULL, NULL FROM pg_sequence s
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
        SELECT 'schema ' || nspname, concat_ws(' ', s.oid, s.xmin), format('DROP SCHEMA IF EXISTS %I CASCADE', nspname), NULL
        FROM spaces s
        UNION ALL
        SELECT 'extension ' || extname, extversion,
               format('DROP EXTENSION IF EXISTS %I CASCADE', extname), NULL
        FROM pg_extension
        UNION ALL
        SELECT 'large object ' || oid, md5(lo_get(oid)), format('SELECT lo_unlink(%s)', oid), NULL
        FROM pg_largeobject_metadata
        UNION ALL
        SELECT 'user mapping ' || umid, umoptions::text, NULL, NULL FROM pg_user_mappings
        UNION ALL
        {RARE_OBJECTS}
    """,  # noqa: S608
    track_writes=PostgresqlTracker,
    empty=delete_all_at_once,
    identities="""
        SELECT seqrelid::regclass::text,
               format('SELECT setval(%L, %s, %L)', seqrelid::regclass, coalesce(last, seqstart),
                      last IS NOT NULL)
        FROM pg_sequence, LATERAL (SELECT pg_sequence_last_value(seqrelid) AS last) l
    """,
    restart="",
    transactions=query_transactions("""
        SELECT pid, format('%s for %s ms; last statement: %s', state,
                           round(extract(epoch FROM clock_timestamp() - xact_start) * 1000), left(query, 300)),
               'transaction', ''
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          AND backend_type = 'client backend'
        UNION ALL
        SELECT 0, format('prepared as %L', gid), 'transaction', format('ROLLBACK PREPARED %L', gid)
        FROM pg_prepared_xact() WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL
        SELECT pid, format('advisory lock %s, %s', classid, objid), 'lock', '' FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """),
    readers=no_readers,
    shared=lambda connection: query_shared(connection, *SHARED),
    shared_statement=SHARED_STATEMENT,
    sessions="SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'",
    terminate="SELECT pg_terminate_backend({session})",
    # The line about the statement, if one was running, has more lines if that has.
    log_of_termination=r"(?m)^.*FATAL:  terminating connection due to administrator command\n?"
    r"(.*STATEMENT: .*\n?(\t.*\n?)*)?",
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
    # The request for TLS; the answer is one byte.
    greeting=Greeting(b"\0\0\0\x08\x04\xd2\x16\x2f", rb"[SN]\Z"),
)

"""MySQL, 8.4 and newer."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import (
    NAME_PATTERN,
    Backend,
    Greeting,
    Recipe,
    Snapshot,
    delete_one_by_one,
    no_readers,
    query_transactions,
)
from flask_sqlalchemy_testbed.backends.drivers import Driver
from flask_sqlalchemy_testbed.backends.mysql_shared import SHARED_STATEMENT, query_all_shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask_sqlalchemy_testbed.backends.base import BuiltContents
    from flask_sqlalchemy_testbed.backends.connection import Connection


def counts_writes(schema: str, further: str = "") -> str:
    """Return a query that returns a row if the server counts the writes to every table.

    Instruments can be switched off or limited.

    Args:
        schema: The schema of the table `global_variables`.
        further: More conditions, each begun by the end of the one before it.
    """
    return f"""
    SELECT 1 WHERE NOT EXISTS (
        SELECT 1 FROM performance_schema.setup_instruments
        WHERE enabled = 'NO' AND name IN ('wait/io/table/sql/handler', 'transaction')
    ) AND NOT EXISTS (
        SELECT 1 FROM performance_schema.setup_consumers WHERE enabled = 'NO'
          AND name IN ('global_instrumentation', 'thread_instrumentation', 'events_transactions_current')
    ) AND EXISTS (
        SELECT 1 FROM performance_schema.setup_objects
        WHERE object_type = 'TABLE' AND object_schema = '%' AND object_name = '%' AND enabled = 'YES'
    ) AND NOT EXISTS (
        SELECT 1 FROM performance_schema.setup_objects WHERE object_type = 'TABLE' AND enabled = 'NO'
          AND object_schema NOT IN ('mysql', 'performance_schema', 'information_schema')
    ) AND EXISTS (
        SELECT 1 FROM performance_schema.setup_actors WHERE host = '%' AND user = '%' AND enabled = 'YES'
    ) AND NOT EXISTS (
        SELECT 1 FROM performance_schema.setup_actors WHERE enabled = 'NO'
    {further}
    ) AND 4 = (
        SELECT COUNT(*) FROM {schema}.global_variables WHERE variable_value = '-1'
          AND variable_name IN ('performance_schema_max_table_instances', 'performance_schema_max_table_handles',
                                'performance_schema_max_index_stat', 'performance_schema_max_thread_instances')
    )
    """  # noqa: S608 - all constants


COUNTS_WRITES = counts_writes(
    "performance_schema",
    """
    ) AND NOT EXISTS (
        SELECT 1 FROM performance_schema.setup_threads WHERE enabled = 'NO' AND name LIKE 'thread/sql/%'
          AND name IN ('thread/sql/one_connection', 'thread/sql/event_worker')
    ) AND 3 = (
        SELECT COUNT(*) FROM performance_schema.global_status WHERE variable_name IN (
            'Innodb_system_rows_inserted', 'Innodb_system_rows_updated', 'Innodb_system_rows_deleted')
    """,
)
BUSY = """
    CONCAT_WS(' ',
        (SELECT GROUP_CONCAT(processlist_id SEPARATOR ' ') FROM performance_schema.threads
         WHERE processlist_db = DATABASE() AND processlist_command <> 'Sleep' AND processlist_id <> CONNECTION_ID()),
        (SELECT GROUP_CONCAT(processlist_id SEPARATOR ' ') FROM performance_schema.events_transactions_current e
         STRAIGHT_JOIN performance_schema.threads t ON t.thread_id = e.thread_id
         WHERE state = 'ACTIVE' AND processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID()))
"""
# Every change of a definition writes to the server's own tables.
DEFINITIONS = """
    SELECT SUM(variable_value) FROM performance_schema.global_status WHERE variable_name IN (
        'Innodb_system_rows_inserted', 'Innodb_system_rows_updated', 'Innodb_system_rows_deleted')
"""
WRITES = """
    FROM performance_schema.table_io_waits_summary_by_table
    WHERE object_type = 'TABLE' AND object_schema = DATABASE()
"""
COUNTED = "GROUP_CONCAT(CONCAT(object_name, ' ', count_write) SEPARATOR '\\n')"


def take_snapshot(definitions: str) -> tuple[str, str]:
    """Return the statements that query what `MysqlTracker.snapshot` compares.

    Args:
        definitions: Returns a number that each change of a definition increases.
    """
    return (
        # The busy sessions come first: the counts include all earlier writes of the idle sessions.
        f"SET @testbed_busy = {BUSY}, @testbed_objects = ({definitions})",
        f"SELECT @testbed_busy, @testbed_objects, {COUNTED} {WRITES}",
    )


SNAPSHOT = take_snapshot(DEFINITIONS)
INNODB = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND engine = 'InnoDB'"
)


# The queries for the objects of each kind. Those for libraries, which exist since 9.2, are in a comment of that version.
OBJECTS: Mapping[str, str] = MappingProxyType(
    {
        "tables": """
            SELECT CONCAT(IF(table_type = 'VIEW', 'VIEW ', 'TABLE '), table_name),
                   CONCAT_WS(' ', '', engine, table_collation, create_options, table_comment),
                   CONCAT('DROP ', IF(table_type = 'VIEW', 'VIEW', 'TABLE'),
                          ' IF EXISTS `', REPLACE(table_name, '`', '``'), '`'),
                   IF(table_type = 'BASE TABLE', CONCAT('`', REPLACE(table_name, '`', '``'), '`'), NULL)
            FROM information_schema.tables WHERE table_schema = DATABASE()
        """,
        "views": """
            SELECT CONCAT('query ', table_name),
                   CONCAT_WS(' ', view_definition, check_option, definer, security_type), NULL, NULL
            FROM information_schema.views WHERE table_schema = DATABASE()
        """,
        "columns": """
            SELECT CONCAT('column ', table_name, ' ', column_name),
                   CONCAT_WS(' ', ordinal_position, column_type, is_nullable, extra, collation_name,
                             column_default, generation_expression, column_comment, srs_id), NULL, NULL
            FROM information_schema.columns WHERE table_schema = DATABASE()
        """,
        "statistics": """
            SELECT CONCAT('index ', table_name, ' ', index_name, ' ', seq_in_index),
                   CONCAT_WS(' ', column_name, expression, sub_part, collation, non_unique, index_type, is_visible,
                             index_comment), NULL, NULL
            FROM information_schema.statistics WHERE table_schema = DATABASE()
        """,
        "table_constraints": """
            SELECT CONCAT('constraint ', table_name, ' ', constraint_name),
                   CONCAT_WS(' ', constraint_type, enforced), NULL, NULL
            FROM information_schema.table_constraints WHERE table_schema = DATABASE()
        """,
        "check_constraints": """
            SELECT CONCAT('check ', constraint_name), check_clause, NULL, NULL
            FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()
        """,
        "referential_constraints": """
            SELECT CONCAT('foreign key ', table_name, ' ', constraint_name),
                   CONCAT_WS(' ', unique_constraint_name, update_rule, delete_rule, referenced_table_name), NULL, NULL
            FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()
        """,
        "key_column_usage": """
            SELECT CONCAT('reference ', table_name, ' ', constraint_name, ' ', ordinal_position),
                   CONCAT_WS(' ', column_name, referenced_table_schema, referenced_column_name), NULL, NULL
            FROM information_schema.key_column_usage WHERE table_schema = DATABASE()
        """,
        "partitions": """
            SELECT CONCAT('partition ', table_name, ' ', partition_name, ' ', COALESCE(subpartition_name, '')),
                   CONCAT_WS(' ', partition_method, partition_expression, partition_description,
                             subpartition_method, subpartition_expression), NULL, NULL
            FROM information_schema.partitions WHERE table_schema = DATABASE() AND partition_name IS NOT NULL
        """,
        "column_statistics": """
            SELECT CONCAT('histogram ', table_name, ' ', column_name), CAST(histogram AS CHAR), NULL, NULL
            FROM information_schema.column_statistics WHERE schema_name = DATABASE()
        """,
        "triggers": """
            SELECT CONCAT('trigger ', trigger_name),
                   CONCAT_WS(' ', action_timing, event_manipulation, event_object_table, action_order, sql_mode,
                             definer, action_statement),
                   CONCAT('DROP TRIGGER IF EXISTS `', REPLACE(trigger_name, '`', '``'), '`'), NULL
            FROM information_schema.triggers WHERE trigger_schema = DATABASE()
        """,
        "routines": """
            SELECT CONCAT(routine_type, ' ', routine_name),
                   CONCAT_WS(' ', routine_definition, is_deterministic, sql_data_access, security_type, sql_mode,
                             definer, routine_comment),
                   CONCAT('DROP ', routine_type, ' IF EXISTS `', REPLACE(routine_name, '`', '``'), '`'), NULL
            FROM information_schema.routines WHERE routine_schema = DATABASE()
        """,
        "parameters": """
            SELECT CONCAT('parameter ', routine_type, ' ', specific_name, ' ', ordinal_position),
                   CONCAT_WS(' ', parameter_mode, parameter_name, dtd_identifier), NULL, NULL
            FROM information_schema.parameters WHERE specific_schema = DATABASE()
        """,
        "events": """
            SELECT CONCAT('event ', event_name),
                   CONCAT_WS(' ', event_definition, event_type, execute_at, interval_value, interval_field, starts,
                             ends, status, on_completion, sql_mode, definer, time_zone, event_comment),
                   CONCAT('DROP EVENT IF EXISTS `', REPLACE(event_name, '`', '``'), '`'), NULL
            FROM information_schema.events WHERE event_schema = DATABASE()
            /*!90200 UNION ALL
            SELECT CONCAT('library ', library_name), CONCAT_WS(' ', language, library_definition, library_comment),
                   CONCAT('DROP LIBRARY IF EXISTS `', REPLACE(library_name, '`', '``'), '`'), NULL
            FROM information_schema.libraries WHERE library_schema = DATABASE() */
        """,
        "schemata": """
            SELECT 'database', CONCAT_WS(' ', default_collation_name, default_encryption), NULL, NULL
            FROM information_schema.schemata WHERE schema_name = DATABASE()
        """,
        "schemata_extensions": """
            SELECT 'read-only database', '', CONCAT('ALTER DATABASE `', schema_name, '` READ ONLY = 0'), NULL
            FROM information_schema.schemata_extensions
            WHERE schema_name = DATABASE() AND options LIKE '%READ ONLY=1%'
        """,
    }
)


# information_schema.innodb_trx is refreshed only every 100 ms.
OPEN = """
    SELECT processlist_id,
           CONCAT(processlist_command, ', open for ', COALESCE(ROUND(e.timer_wait / 1e9), 0),
                  ' ms; last statement: ', COALESCE(LEFT(s.sql_text, 300), 'unknown')),
           'transaction', ''
    FROM performance_schema.events_transactions_current e
    JOIN performance_schema.threads t ON t.thread_id = e.thread_id
    LEFT JOIN performance_schema.events_statements_current s
           ON s.thread_id = e.thread_id AND s.nesting_event_level = 0
    WHERE e.state = 'ACTIVE' AND processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID()
"""
# Explicit locks are those of users, of FLUSH TABLES WITH READ LOCK, LOCK INSTANCE and HANDLER; LOCK TABLES takes those
# of the two types.
HELD = """
    UNION ALL
    SELECT processlist_id, CONCAT_WS(' ', lock_type, 'lock on', LOWER(object_type), object_schema, object_name),
           'lock', ''
    FROM performance_schema.metadata_locks m JOIN performance_schema.threads t ON t.thread_id = owner_thread_id
    WHERE processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID() AND lock_status = 'GRANTED'
      AND (lock_duration = 'EXPLICIT' OR lock_type IN ('SHARED_READ_ONLY', 'SHARED_NO_READ_WRITE'))
"""


class MysqlTracker:
    """Compare the server's counts of writes, which include those that were rolled back."""

    def __init__(
        self, connection: Connection, built: BuiltContents, snapshot: Sequence[str] = SNAPSHOT
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._tables = {_plain(table): table for table in (*built.empty, *built.rows)}
        # The counts of clean tables; a table without an entry counts as written to.
        self._clean: dict[str, int] = {}
        self._counts_rows = {name for (name,) in connection.rows(INNODB)}
        self._objects: object = None
        self._before: dict[str, int] = {}
        self._now: dict[str, int] = {}

    def snapshot(self) -> Snapshot:
        """Compare the counts.

        The server does not count rows that ON DELETE CASCADE deletes, but it counts their parents' rows.
        """
        ((busy, objects, counted),) = self._connection.batch(self._snapshot)
        if objects != self._objects:  # TRUNCATE changes a definition and counts no writes.
            self._clean.clear()
        self._objects = objects
        pairs = (line.rpartition(" ") for line in (counted or "").split("\n"))
        self._before, self._now = self._now, {name: int(count) for name, _, count in pairs if name}
        written = [
            table for name, table in self._tables.items() if self._clean.get(name) != self._now.get(name, 0)
        ]
        return Snapshot((busy or "").split(), objects, written, ())

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Delete the rows and expect one counted write for each; more are another session's."""
        self._connection.batch([*(f"DELETE FROM {table}" for table in tables), *restart])  # noqa: S608
        for name, count in zip(map(_plain, tables), self._connection.row_counts, strict=False):
            # Other engines may delete all rows at once and count none.
            if name in self._counts_rows or not count:
                self._clean[name] = self._now.get(name, 0) + count

    def accept(self, tables: Sequence[str]) -> None:
        """Accept only equal counts in both snapshots.

        Otherwise a session wrote while the rows were compared.
        """
        for name in map(_plain, tables):
            if self._before.get(name, 0) == self._now.get(name, 0):
                self._clean[name] = self._now.get(name, 0)


def track_writes(connection: Connection, built: BuiltContents) -> MysqlTracker | None:
    """Return None if the server does not count every write."""
    return MysqlTracker(connection, built) if connection.rows(COUNTS_WRITES) else None


def _plain(table: str) -> str:
    return table[1:-1].replace("``", "`")


ACCOUNT = "SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '\\'@\\'', SUBSTRING_INDEX(CURRENT_USER(), '@', -1)"

MYSQL = Backend(
    name="mysql",
    drivers=(Driver("pymysql", "PyMySQL"),),
    schemes=frozenset({"mysql"}),
    capabilities=frozenset({"server", "replicates", "bounded-reads", "survives-full-disk"}),
    recipe=Recipe(
        folder="docker/mysql",
        variable="MYSQL_IMAGE",
        port=3306,
        client="docker exec -it -e MYSQL_PWD=testbed {container} mysql -h 127.0.0.1 -u testbed {database}",
    ),
    login_options=MappingProxyType({"connect_timeout": 2, "read_timeout": 2}),
    # Access denied, unknown database, host not allowed, an authentication plugin that is unknown or needs a
    # package that is missing, unknown host name.
    fatal_login_error=r"\((1044|1045|1049|1130|1251|1524|1698|2054|2059|2061),|Name or service not known|cryptography",
    # Access denied, a privilege or SUPER is needed, an option of the server forbids it; no such library, storage
    # engine or plugin.
    lacking=r"^\(?(1044|1142|1143|1227|1370|1410|1419|1148|1290|3948|1126|1286|1524)\b",
    connect_options=MappingProxyType({"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30}),
    session_setup=(
        "SET lock_wait_timeout = 3, innodb_lock_wait_timeout = 3, foreign_key_checks = 0",
        "SET information_schema_stats_expiry = 0, group_concat_max_len = 67108864",
        # DELETE locks gaps too, so no other session inserts into an emptied table before the COMMIT.
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ),
    version="SELECT VERSION()",
    unmet_requirements="""
        SELECT 'its performance_schema does not record transactions: start it with performance_schema=ON'
               ' and the consumer events_transactions_current enabled'
        WHERE NOT EXISTS (SELECT 1 FROM performance_schema.setup_consumers
                          WHERE name = 'events_transactions_current' AND enabled = 'YES')
    """,
    current_database="SELECT DATABASE()",
    databases="SELECT schema_name FROM information_schema.schemata",
    lock="SELECT GET_LOCK('{database}', 30)",
    stale=f"""
        SELECT schema_name FROM information_schema.schemata
        WHERE schema_name REGEXP '{NAME_PATTERN}' AND IS_FREE_LOCK(schema_name)
          AND schema_name NOT IN (SELECT table_schema FROM information_schema.tables
                                  WHERE table_name = 'testbed_kept')
    """,  # noqa: S608
    create=("CREATE DATABASE {database} CHARACTER SET utf8mb4",),
    keep=("CREATE TABLE IF NOT EXISTS testbed_kept (why TEXT)",),
    drop=("DROP DATABASE IF EXISTS {database}",),
    objects=" UNION ALL ".join(OBJECTS.values()),
    track_writes=track_writes,
    empty=delete_one_by_one("BEGIN"),
    identities="",  # Resetting AUTO_INCREMENT takes 2 ms for each table.
    restart="""
        SELECT CONCAT('ALTER TABLE `', REPLACE(table_name, '`', '``'), '` AUTO_INCREMENT = 1')
        FROM information_schema.tables WHERE table_schema = DATABASE() AND auto_increment > 1
    """,
    transactions=query_transactions(OPEN + HELD),
    readers=no_readers,
    shared=query_all_shared,
    shared_statement=SHARED_STATEMENT,
    sessions="SELECT processlist_id FROM performance_schema.threads"
    " WHERE processlist_db = '{database}' AND processlist_id <> CONNECTION_ID()",
    terminate="KILL {session}",
    settings="""
        SELECT variable_name, variable_value
        FROM performance_schema.global_variables JOIN performance_schema.variables_info USING (variable_name)
        WHERE variable_source NOT IN ('COMPILED', 'DYNAMIC') OR variable_name IN (
            'character_set_server', 'collation_server', 'innodb_flush_log_at_trx_commit',
            'innodb_lock_wait_timeout', 'max_connections', 'sql_mode', 'time_zone', 'transaction_isolation',
            'wait_timeout')
        ORDER BY variable_name
    """,
    activity="""
        SELECT CONCAT('session ', processlist_id, ': ', processlist_command, ' for ', COALESCE(processlist_time, 0), ' s, ',
               COALESCE(processlist_state, 'no state'), ', locks [',
               COALESCE((SELECT GROUP_CONCAT(CONCAT_WS(' ', IF(lock_status = 'GRANTED', 'has', 'WANTS'), lock_mode, lock_type,
                                                       object_name, lock_data) SEPARATOR ', ')
                         FROM performance_schema.data_locks l WHERE l.thread_id = t.thread_id), ''),
               COALESCE((SELECT CONCAT('; metadata: ', GROUP_CONCAT(CONCAT_WS(' ', IF(lock_status = 'GRANTED', 'has', 'WANTS'),
                                                                   lock_type, object_name) SEPARATOR ', '))
                         FROM performance_schema.metadata_locks m
                         WHERE m.owner_thread_id = t.thread_id AND object_type = 'TABLE' AND object_schema = DATABASE()), ''),
               ']; last statement: ', COALESCE((SELECT LEFT(sql_text, 300) FROM performance_schema.events_statements_current s
                                                WHERE s.thread_id = t.thread_id AND nesting_event_level = 0), 'unknown'))
        FROM performance_schema.threads t
        WHERE processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID()
        ORDER BY processlist_id
    """,
    grants=MappingProxyType(
        {
            r"\(1142,": f"SELECT CONCAT('GRANT SELECT ON performance_schema.* TO \\'', {ACCOUNT}, '\\'')",
            r"\(1044,": f"SELECT CONCAT('GRANT ALL ON `testbed\\\\_%`.* TO \\'', {ACCOUNT}, '\\'')",
        }
    ),
    # A handshake of version 10, except that of MariaDB, or an error such as "too many connections".
    greeting=Greeting(b"", rb"(?s).{4}(\x0a(?![^\0]*MariaDB)|\xff)"),
)

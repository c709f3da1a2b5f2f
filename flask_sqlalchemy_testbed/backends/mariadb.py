"""MariaDB, 10.11 and newer: where it differs from MySQL."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends import mysql
from flask_sqlalchemy_testbed.backends.base import (
    NAME_PATTERN,
    Condition,
    Greeting,
    Recipe,
    query_shared,
    query_transactions,
)
from flask_sqlalchemy_testbed.backends.mysql_shared import PRIVILEGES, prepared_transactions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import BuiltContents, SharedObjects
    from flask_sqlalchemy_testbed.backends.connection import Connection

# Its system tables do not count their writes; its statements are counted before they are executed.
DEFINITIONS = """
    SELECT SUM(variable_value) FROM information_schema.global_status
    WHERE variable_name REGEXP '^COM_(CREATE|ALTER|DROP|RENAME|TRUNCATE)'
"""
SNAPSHOT = mysql.take_snapshot(DEFINITIONS)
COUNTS_WRITES = mysql.counts_writes("information_schema")
# Without its libraries, histograms, spatial reference systems and read-only databases; with sequences.
OBJECTS = {
    **{
        kind: query
        for kind, query in mysql.OBJECTS.items()
        if kind not in {"column_statistics", "schemata_extensions"}
    },
    "tables": """
        SELECT CONCAT(CASE table_type WHEN 'VIEW' THEN 'VIEW ' WHEN 'SEQUENCE' THEN 'SEQUENCE ' ELSE 'TABLE ' END, table_name),
               CONCAT_WS(' ', '', engine, table_collation, create_options, table_comment),
               CONCAT('DROP ', CASE table_type WHEN 'VIEW' THEN 'VIEW' WHEN 'SEQUENCE' THEN 'SEQUENCE' ELSE 'TABLE' END,
                      ' IF EXISTS `', REPLACE(table_name, '`', '``'), '`'),
               IF(table_type IN ('BASE TABLE', 'SYSTEM VERSIONED'),
                  CONCAT('`', REPLACE(table_name, '`', '``'), '`'), NULL)
        FROM information_schema.tables WHERE table_schema = DATABASE()
    """,
    "columns": """
        SELECT CONCAT('column ', table_name, ' ', column_name),
               CONCAT_WS(' ', ordinal_position, column_type, is_nullable, extra, collation_name,
                         column_default, generation_expression, column_comment), NULL, NULL
        FROM information_schema.columns WHERE table_schema = DATABASE()
    """,
    "statistics": """
        SELECT CONCAT('index ', table_name, ' ', index_name, ' ', seq_in_index),
               CONCAT_WS(' ', column_name, sub_part, collation, non_unique, index_type, ignored, index_comment), NULL, NULL
        FROM information_schema.statistics WHERE table_schema = DATABASE()
    """,
    "table_constraints": """
        SELECT CONCAT('constraint ', table_name, ' ', constraint_name), constraint_type, NULL, NULL
        FROM information_schema.table_constraints WHERE table_schema = DATABASE()
    """,
    "check_constraints": """
        SELECT CONCAT('check ', table_name, ' ', constraint_name), check_clause, NULL, NULL
        FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()
    """,
    "schemata": """
        SELECT 'database', CONCAT_WS(' ', default_collation_name, schema_comment), NULL, NULL
        FROM information_schema.schemata WHERE schema_name = DATABASE()
    """,
}
# LOCK TABLES ... READ and HANDLER take the locks that a transaction takes.
HELD_WITHOUT_TRANSACTION = """
    OR lock_status = 'GRANTED' AND object_type = 'TABLE' AND processlist_command = 'Sleep'
       AND processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID()
       AND NOT EXISTS (SELECT 1 FROM performance_schema.events_transactions_current e
                       WHERE e.thread_id = t.thread_id AND state = 'ACTIVE')
"""
ACCOUNT = "CONCAT(QUOTE(user), '@', QUOTE(host))"
LOCKED = "JSON_VALUE(priv, '$.account_locked') = 1"
SHARED = (
    f"""
        SELECT CONCAT('user ', {ACCOUNT}), user, '', CONCAT('DROP USER ', {ACCOUNT}), ''
        FROM mysql.global_priv WHERE COALESCE(JSON_VALUE(priv, '$.is_role'), 0) = 0
    """,  # noqa: S608
    """
        SELECT CONCAT('role ', user), user, '', CONCAT('DROP ROLE ', QUOTE(user)), ''
        FROM mysql.global_priv WHERE JSON_VALUE(priv, '$.is_role') = 1
    """,
    f"""
        SELECT CONCAT('password of ', {ACCOUNT}), user,
               CONCAT_WS(' ', JSON_VALUE(priv, '$.plugin'), JSON_VALUE(priv, '$.authentication_string'), COALESCE({LOCKED}, 0)), '',
               CONCAT('ALTER USER ', {ACCOUNT}, ' IDENTIFIED VIA ', JSON_VALUE(priv, '$.plugin'), ' USING ',
                      QUOTE(JSON_VALUE(priv, '$.authentication_string')),
                      IF({LOCKED}, ' ACCOUNT LOCK', ' ACCOUNT UNLOCK'))
        FROM mysql.global_priv WHERE JSON_VALUE(priv, '$.plugin') <> ''
    """,  # noqa: S608
    """
        SELECT CONCAT('role ', role, ' of ', user, '@', host), CONCAT(user, ' ', role), admin_option,
               CONCAT('REVOKE ', QUOTE(role), ' FROM ', QUOTE(user), IF(host = '', '', CONCAT('@', QUOTE(host)))),
               CONCAT('GRANT ', QUOTE(role), ' TO ', QUOTE(user), IF(host = '', '', CONCAT('@', QUOTE(host))))
        FROM mysql.roles_mapping
    """,
    *PRIVILEGES,
    """
        SELECT CONCAT('variable ', variable_name), variable_name, global_value, '',
               CONCAT('SET GLOBAL ', variable_name, ' = ',
                      IF(global_value REGEXP '^-?[0-9]+([.][0-9]+)?$', global_value, QUOTE(global_value)))
        FROM information_schema.system_variables WHERE read_only = 'NO' AND global_value IS NOT NULL
    """,
    f"""
        SELECT CONCAT('database ', schema_name), schema_name, default_collation_name, '', ''
        FROM information_schema.schemata WHERE NOT schema_name REGEXP '{NAME_PATTERN}'
    """,  # noqa: S608
    """
        SELECT CONCAT('plugin ', plugin_name), plugin_name, plugin_status, CONCAT('UNINSTALL PLUGIN `', plugin_name, '`'), ''
        FROM information_schema.plugins
    """,
    """
        SELECT CONCAT('server ', server_name), server_name, CONCAT_WS(' ', host, db, username, port),
               CONCAT('DROP SERVER `', server_name, '`'), ''
        FROM mysql.servers
    """,
)


def track_writes(connection: Connection, built: BuiltContents) -> mysql.MysqlTracker | None:
    """Return None if the server does not count every write."""
    return mysql.MysqlTracker(connection, built, SNAPSHOT) if connection.rows(COUNTS_WRITES) else None


def query_all_shared(connection: Connection) -> Sequence[SharedObjects]:
    """Return the prepared transactions too: no query returns them."""
    return [*query_shared(connection, *SHARED), prepared_transactions(connection, "XA RECOVER")]


MARIADB = replace(
    mysql.MYSQL,
    name="mariadb",
    schemes=frozenset({"mariadb"}),
    recipe=Recipe(
        folder="docker/mariadb",
        variable="MARIADB_IMAGE",
        port=3306,
        client="docker exec -it -e MYSQL_PWD=testbed {container}"
        " mariadb --skip-ssl -h 127.0.0.1 -u testbed {database}",
    ),
    # Its InnoDB aborts the server if a page for a large row cannot be allocated.
    capabilities=mysql.MYSQL.capabilities - {"survives-full-disk"},
    session_setup=(
        *mysql.MYSQL.session_setup[:1],
        # MySQL has no max_statement_time, and so is recognized as another server.
        "SET group_concat_max_len = 67108864, max_statement_time = 0",
        *mysql.MYSQL.session_setup[2:],
    ),
    unmet_requirements="""
        SELECT 'its performance_schema does not record transactions: start it with performance_schema=ON,'
               ' performance-schema-instrument=transaction=ON and'
               ' performance-schema-consumer-events-transactions-current=ON'
        WHERE NOT EXISTS (SELECT 1 FROM performance_schema.setup_consumers
                          WHERE name = 'events_transactions_current' AND enabled = 'YES')
           OR NOT EXISTS (SELECT 1 FROM performance_schema.setup_instruments WHERE name = 'transaction' AND enabled = 'YES')
    """,
    # The default collation since 11.6. Under the older one all emoji are equal.
    create=("CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci",),
    objects=" UNION ALL ".join(OBJECTS.values()),
    track_writes=track_writes,
    restart="""
        SELECT CONCAT('ALTER TABLE `', REPLACE(table_name, '`', '``'), '` AUTO_INCREMENT = 1')
        FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND auto_increment > 1
        UNION ALL
        SELECT CONCAT('ALTER SEQUENCE `', REPLACE(table_name, '`', '``'), '` RESTART')
        FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE'
    """,
    transactions=query_transactions(mysql.OPEN + mysql.HELD + HELD_WITHOUT_TRANSACTION),
    shared=query_all_shared,
    settings="""
        SELECT LOWER(variable_name), global_value
        FROM information_schema.system_variables
        WHERE global_value_origin NOT IN ('COMPILE-TIME', 'AUTO') OR variable_name IN (
            'character_set_server', 'collation_server', 'innodb_flush_log_at_trx_commit',
            'innodb_lock_wait_timeout', 'innodb_snapshot_isolation', 'max_connections', 'sql_mode', 'time_zone',
            'tx_isolation', 'transaction_isolation', 'wait_timeout')
        ORDER BY variable_name
    """,
    # The server shows this user no locks of rows, but it counts the sessions that wait for one.
    activity="""
        SELECT CONCAT('session ', t.processlist_id, ': ', processlist_command, ' for ', COALESCE(processlist_time, 0), ' s, ',
               COALESCE(processlist_state, 'no state'), ', locks [',
               IF(processlist_command = 'Query' AND 0 < (SELECT variable_value FROM performance_schema.global_status
                                                         WHERE variable_name = 'Innodb_row_lock_current_waits'),
                  'perhaps WANTS one of rows, ', ''),
               COALESCE((SELECT GROUP_CONCAT(CONCAT_WS(' ', IF(lock_status = 'GRANTED', 'has', 'WANTS'), lock_type, object_name)
                                             SEPARATOR ', ')
                         FROM performance_schema.metadata_locks m
                         WHERE m.owner_thread_id = t.thread_id AND object_type = 'TABLE' AND object_schema = DATABASE()), ''),
               ']; last statement: ', COALESCE((SELECT LEFT(sql_text, 300) FROM performance_schema.events_statements_current s
                                                WHERE s.thread_id = t.thread_id AND nesting_event_level = 0), 'unknown'))
        FROM performance_schema.threads t
        WHERE processlist_db = DATABASE() AND t.processlist_id <> CONNECTION_ID()
        ORDER BY t.processlist_id
    """,
    # From this table a promotion learns what the standby has stored.
    conditions=MappingProxyType(
        {
            "replicates": Condition(
                "SELECT 1 FROM information_schema.tables"
                " WHERE table_schema = 'information_schema' AND table_name = 'slave_status'",
                "a pair of servers needs MariaDB 11.6 or newer",
            )
        }
    ),
    # The handshake of a server that names itself in its version, or an error.
    greeting=Greeting(b"", rb"(?s).{4}(\x0a[^\0]*MariaDB|\xff)"),
    by_default=False,
    family="mysql",
)

"""MySQL, 8.4 and newer."""

from __future__ import annotations

from types import MappingProxyType

from testbed.backend import NAME_PATTERN, Backend, Recipe, ask, delete_one_by_one

MYSQL = Backend(
    name="mysql",
    drivername="mysql+pymysql",
    schemes=frozenset({"mysql"}),
    capabilities=frozenset({"server", "bounded-reads"}),
    recipe=Recipe(
        folder="docker/mysql",
        variable="MYSQL_IMAGE",
        port=3306,
        client="docker exec -it -e MYSQL_PWD=testbed {container} mysql -h 127.0.0.1 -u testbed {database}",
    ),
    login_options=MappingProxyType({"connect_timeout": 2, "read_timeout": 2}),
    # Access denied, unknown database, host not allowed, an authentication plugin that is unknown or for which
    # the driver lacks a package, unknown host name.
    refusal=r"\((1044|1045|1049|1130|1251|1524|1698|2054|2059|2061),|Name or service not known|cryptography",
    connect_options=MappingProxyType({"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30}),
    patience=(
        "SET lock_wait_timeout = 3, innodb_lock_wait_timeout = 3, foreign_key_checks = 0",
        "SET information_schema_stats_expiry = 0",
    ),
    version="SELECT VERSION()",
    complaint="""
        SELECT 'its performance_schema does not record transactions: start it with performance_schema=ON'
               ' and the consumer events_transactions_current enabled'
        WHERE NOT EXISTS (SELECT 1 FROM performance_schema.setup_consumers
                          WHERE name = 'events_transactions_current' AND enabled = 'YES')
    """,
    whereabouts="SELECT DATABASE()",
    databases="SELECT schema_name FROM information_schema.schemata",
    lock="SELECT GET_LOCK('{database}', 30)",
    stale=f"""
        SELECT schema_name FROM information_schema.schemata
        WHERE REGEXP_LIKE(schema_name, '{NAME_PATTERN}') AND IS_FREE_LOCK(schema_name)
          AND schema_name NOT IN (SELECT table_schema FROM information_schema.tables
                                  WHERE table_name = 'testbed_kept')
    """,  # noqa: S608
    create=("CREATE DATABASE {database} CHARACTER SET utf8mb4",),
    keep=("CREATE TABLE IF NOT EXISTS testbed_kept (why TEXT)",),
    drop=("DROP DATABASE IF EXISTS {database}",),
    objects="""
        SELECT CONCAT(IF(table_type = 'VIEW', 'VIEW ', 'TABLE '), table_name),
               CONCAT_WS(' ', '', engine, table_collation),
               CONCAT('DROP ', IF(table_type = 'VIEW', 'VIEW', 'TABLE'),
                      ' IF EXISTS `', REPLACE(table_name, '`', '``'), '`'),
               IF(table_type = 'BASE TABLE', CONCAT('`', REPLACE(table_name, '`', '``'), '`'), NULL)
        FROM information_schema.tables WHERE table_schema = DATABASE()
        UNION ALL
        SELECT CONCAT('column ', table_name, ' ', column_name),
               CONCAT_WS(' ', ordinal_position, column_type, is_nullable, extra, collation_name,
                         column_default, generation_expression), NULL, NULL
        FROM information_schema.columns WHERE table_schema = DATABASE()
        UNION ALL
        SELECT CONCAT('index ', table_name, ' ', index_name, ' ', seq_in_index),
               CONCAT_WS(' ', column_name, expression, sub_part, collation, non_unique, index_type),
               NULL, NULL
        FROM information_schema.statistics WHERE table_schema = DATABASE()
        UNION ALL
        SELECT CONCAT('constraint ', table_name, ' ', constraint_name),
               CONCAT_WS(' ', constraint_type, enforced), NULL, NULL
        FROM information_schema.table_constraints WHERE table_schema = DATABASE()
        UNION ALL
        SELECT CONCAT('trigger ', trigger_name), action_statement,
               CONCAT('DROP TRIGGER IF EXISTS `', trigger_name, '`'), NULL
        FROM information_schema.triggers WHERE trigger_schema = DATABASE()
        UNION ALL
        SELECT CONCAT(routine_type, ' ', routine_name), routine_definition,
               CONCAT('DROP ', routine_type, ' IF EXISTS `', routine_name, '`'), NULL
        FROM information_schema.routines WHERE routine_schema = DATABASE()
        UNION ALL
        SELECT CONCAT('event ', event_name), event_definition,
               CONCAT('DROP EVENT IF EXISTS `', event_name, '`'), NULL
        FROM information_schema.events WHERE event_schema = DATABASE()
    """,
    empty=delete_one_by_one("BEGIN"),
    identities="",  # Resetting AUTO_INCREMENT costs 1.4 ms a table.
    # Not information_schema.innodb_trx, which is refreshed only every 100 ms.
    transactions=ask("""
        SELECT processlist_id,
               CONCAT(processlist_command, ', open for ', COALESCE(ROUND(e.timer_wait / 1e9), 0),
                      ' ms; last statement: ', COALESCE(LEFT(s.sql_text, 300), 'unknown'))
        FROM performance_schema.events_transactions_current e
        JOIN performance_schema.threads t ON t.thread_id = e.thread_id
        LEFT JOIN performance_schema.events_statements_current s
               ON s.thread_id = e.thread_id AND s.nesting_event_level = 0
        WHERE e.state = 'ACTIVE' AND processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID()
    """),
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
)

"""List objects that are neither tables nor rows, by backend.

Each has statements that leave one, and a query for it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of object of a server; `{database}` stands for the name of the test's database."""

    name: str
    query: str
    statements: tuple[str, ...]


# Executed after the tables of `test_isolation` are created; `{database}` stands for the database's name.
BUILT = {
    "sqlite": ("CREATE VIEW seen AS SELECT id FROM parents",),
    "postgresql": (
        "CREATE VIEW seen AS SELECT id FROM parents",
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM parents",
        "CREATE MATERIALIZED VIEW copied AS SELECT id FROM parents",
        "CREATE UNIQUE INDEX ON copied (id)",
        "CREATE TYPE pair AS (a int)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE PUBLICATION published FOR TABLE parents",
        "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)",
        "SELECT lo_from_bytea(70001, 'as built')",
        "ALTER DATABASE {database} SET work_mem = '5MB'",
    ),
    "mysql": (
        "CREATE VIEW seen AS SELECT id FROM parents",
        "CREATE PROCEDURE one() SELECT 1",
        "CREATE EVENT later ON SCHEDULE EVERY 9 YEAR DO DELETE FROM kinds",
        "CREATE TRIGGER copy AFTER INSERT ON parents FOR EACH ROW INSERT INTO kinds (id) VALUES (77)",
        "ALTER TABLE kinds ADD CONSTRAINT named CHECK (name <> '')",
    ),
}
POSTGRESQL = (
    Kind(
        "materialised view",
        "SELECT matviewname FROM pg_matviews",
        ("CREATE MATERIALIZED VIEW m AS SELECT 1",),
    ),
    Kind(
        "rows of a materialised view",
        "SELECT n FROM counted",
        ("INSERT INTO parents (id) VALUES (1)", "REFRESH MATERIALIZED VIEW counted"),
    ),
    Kind(
        "rows of a materialised view, refreshed concurrently",
        "SELECT id FROM copied",
        ("INSERT INTO parents (id) VALUES (1)", "REFRESH MATERIALIZED VIEW CONCURRENTLY copied"),
    ),
    Kind(
        "materialised view without rows",
        "SELECT ispopulated FROM pg_matviews",
        ("REFRESH MATERIALIZED VIEW counted WITH NO DATA",),
    ),
    Kind(
        "view", "SELECT definition FROM pg_views", ("CREATE OR REPLACE VIEW seen AS SELECT id FROM children",)
    ),
    Kind(
        "composite type",
        "SELECT attname FROM pg_attribute WHERE attrelid = 'pair'::regclass",
        ("ALTER TYPE pair ADD ATTRIBUTE b int",),
    ),
    Kind("domain", "SELECT typname FROM pg_type WHERE typtype = 'd'", ("CREATE DOMAIN short AS text",)),
    Kind(
        "range type",
        "SELECT typname FROM pg_type WHERE typtype = 'r'",
        ("CREATE TYPE span AS RANGE (SUBTYPE = int)",),
    ),
    Kind(
        "function",
        "SELECT prosrc FROM pg_proc WHERE proname = 'one'",
        ("CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'",),
    ),
    Kind(
        "procedure",
        "SELECT proname FROM pg_proc WHERE prokind = 'p' AND oid >= 16384",
        ("CREATE PROCEDURE go() LANGUAGE sql AS 'SELECT 1'",),
    ),
    Kind(
        "aggregate",
        "SELECT proname FROM pg_proc WHERE prokind = 'a' AND oid >= 16384",
        ("CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)",),
    ),
    Kind(
        "operator",
        "SELECT oprname FROM pg_operator WHERE oid >= 16384",
        ("CREATE OPERATOR ### (PROCEDURE = int4pl, LEFTARG = int, RIGHTARG = int)",),
    ),
    Kind(
        "cast",
        "SELECT castcontext FROM pg_cast WHERE oid >= 16384",
        ("CREATE CAST (pair AS text) WITH INOUT",),
    ),
    Kind(
        "conversion",
        "SELECT conname FROM pg_conversion WHERE oid >= 16384",
        ("CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",),
    ),
    Kind(
        "collation",
        "SELECT collname FROM pg_collation WHERE oid >= 16384",
        ("CREATE COLLATION plain (LOCALE = 'C')",),
    ),
    Kind(
        "text search configuration",
        "SELECT cfgname, (SELECT count(*) FROM pg_ts_config_map WHERE mapcfg = c.oid) FROM pg_ts_config c",
        ("ALTER TEXT SEARCH CONFIGURATION words DROP MAPPING FOR word",),
    ),
    Kind(
        "text search dictionary",
        "SELECT dictname FROM pg_ts_dict WHERE oid >= 16384",
        ("CREATE TEXT SEARCH DICTIONARY short (TEMPLATE = simple)",),
    ),
    Kind(
        "statistics",
        "SELECT stxname FROM pg_statistic_ext",
        ("CREATE STATISTICS pairs ON id, name FROM kinds",),
    ),
    Kind(
        "publication",
        "SELECT tablename FROM pg_publication_tables",
        ("ALTER PUBLICATION published ADD TABLE kinds",),
    ),
    Kind("large object", "SELECT oid::text FROM pg_largeobject_metadata", ("SELECT lo_create(70002)",)),
    Kind(
        "contents of a large object",
        "SELECT encode(lo_get(70001), 'escape')",
        ("SELECT lo_put(70001, 0, 'replaced')",),
    ),
    Kind(
        "trigger",
        "SELECT tgenabled::text FROM pg_trigger WHERE NOT tgisinternal",
        (
            "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER quiet BEFORE INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION quiet()",
        ),
    ),
    Kind(
        "rule",
        "SELECT rulename FROM pg_rules WHERE schemaname = 'public'",
        ("CREATE RULE q AS ON DELETE TO kinds DO INSTEAD NOTHING",),
    ),
    Kind("policy", "SELECT polname FROM pg_policy", ("CREATE POLICY own ON kinds",)),
    Kind(
        "row security",
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = 'kinds'",
        ("ALTER TABLE kinds FORCE ROW LEVEL SECURITY",),
    ),
    Kind("schema", "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'", ("CREATE SCHEMA corner",)),
    Kind("sequence", "SELECT sequencename FROM pg_sequences", ("CREATE SEQUENCE numbers",)),
    Kind(
        "grant on a table",
        "SELECT relacl::text FROM pg_class WHERE relname = 'kinds'",
        ("GRANT SELECT ON kinds TO PUBLIC",),
    ),
    Kind(
        "grant on a column",
        "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'kinds'::regclass",
        ("GRANT SELECT (id) ON kinds TO PUBLIC",),
    ),
    Kind(
        "grant on a schema",
        "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'",
        ("GRANT CREATE ON SCHEMA public TO PUBLIC",),
    ),
    Kind(
        "grant on the database",
        "SELECT datacl::text FROM pg_database WHERE datname = current_database()",
        ("GRANT CREATE ON DATABASE {database} TO PUBLIC",),
    ),
    Kind(
        "default privileges",
        "SELECT defaclacl::text FROM pg_default_acl",
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",),
    ),
    Kind(
        "comment",
        "SELECT description FROM pg_description WHERE objoid >= 16384",
        ("COMMENT ON COLUMN kinds.name IS 'new'",),
    ),
    Kind(
        "comment on the database",
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()",
        ("COMMENT ON DATABASE {database} IS 'new'",),
    ),
    Kind(
        "storage of an index",
        "SELECT reloptions::text FROM pg_class WHERE relname = 'kinds_pkey'",
        ("ALTER INDEX kinds_pkey SET (fillfactor = 50)",),
    ),
    Kind(
        "setting of the database",
        "SELECT setconfig::text FROM pg_db_role_setting WHERE setdatabase <> 0",
        ("ALTER DATABASE {database} SET lock_timeout = '1s'",),
    ),
    Kind(
        "changed setting of the database",
        "SELECT setconfig::text FROM pg_db_role_setting WHERE setdatabase <> 0",
        ("ALTER DATABASE {database} SET work_mem = '9MB'",),
    ),
    Kind(
        "setting of a role in the database",
        "SELECT setconfig::text FROM pg_db_role_setting WHERE setrole <> 0",
        ("ALTER ROLE CURRENT_USER IN DATABASE {database} SET work_mem = '9MB'",),
    ),
    Kind(
        "limit of the database",
        "SELECT datconnlimit FROM pg_database WHERE datname = current_database()",
        ("ALTER DATABASE {database} CONNECTION LIMIT 9",),
    ),
)
MYSQL = (
    Kind(
        "view",
        "SELECT view_definition FROM information_schema.views WHERE table_schema = database()",
        ("CREATE OR REPLACE VIEW seen AS SELECT id FROM children",),
    ),
    Kind(
        "function",
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database()",
        ("CREATE FUNCTION two() RETURNS INT DETERMINISTIC RETURN 2",),
    ),
    Kind(
        "parameters of a procedure",
        "SELECT parameter_name FROM information_schema.parameters WHERE specific_schema = database()",
        ("DROP PROCEDURE one", "CREATE PROCEDURE one(IN a INT) SELECT 1"),
    ),
    Kind(
        "security of a procedure",
        "SELECT security_type FROM information_schema.routines WHERE routine_schema = database()",
        ("ALTER PROCEDURE one SQL SECURITY INVOKER",),
    ),
    Kind(
        "event",
        "SELECT status, interval_value FROM information_schema.events WHERE event_schema = database()",
        ("ALTER EVENT later ON SCHEDULE EVERY 8 YEAR DISABLE",),
    ),
    Kind(
        "time of a trigger",
        "SELECT action_timing FROM information_schema.triggers WHERE trigger_schema = database()",
        (
            "DROP TRIGGER copy",
            "CREATE TRIGGER copy BEFORE INSERT ON parents FOR EACH ROW INSERT INTO kinds (id) VALUES (77)",
        ),
    ),
    Kind(
        "condition of a constraint",
        "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = database()",
        (
            "ALTER TABLE kinds DROP CONSTRAINT named",
            "ALTER TABLE kinds ADD CONSTRAINT named CHECK (name <> 'x')",
        ),
    ),
    Kind(
        "rule of a foreign key",
        "SELECT delete_rule FROM information_schema.referential_constraints"
        " WHERE constraint_schema = database()",
        (
            "ALTER TABLE parents DROP FOREIGN KEY favourite",
            (
                "ALTER TABLE parents ADD CONSTRAINT favourite FOREIGN KEY (favourite)"
                " REFERENCES children (id) ON DELETE SET NULL"
            ),
        ),
    ),
    Kind(
        "comment on a table",
        "SELECT table_comment FROM information_schema.tables WHERE table_schema = database()",
        ("ALTER TABLE kinds COMMENT 'new'",),
    ),
    Kind(
        "comment on a column",
        "SELECT column_comment FROM information_schema.columns WHERE table_schema = database()",
        ("ALTER TABLE kinds MODIFY name VARCHAR(20) COMMENT 'new'",),
    ),
    Kind(
        "partitions",
        "SELECT partition_name FROM information_schema.partitions WHERE table_schema = database()",
        ("ALTER TABLE kinds PARTITION BY HASH (id) PARTITIONS 2",),
    ),
    Kind(
        "invisible index",
        "SELECT is_visible FROM information_schema.statistics WHERE table_schema = database() ORDER BY 1",
        ("ALTER TABLE children ALTER INDEX name INVISIBLE",),
    ),
    Kind(
        "histogram",
        "SELECT column_name FROM information_schema.column_statistics WHERE schema_name = database()",
        ("ANALYZE TABLE kinds UPDATE HISTOGRAM ON name",),
    ),
    Kind(
        "collation of the database",
        "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = database()",
        ("ALTER DATABASE {database} COLLATE utf8mb4_bin",),
    ),
    Kind(
        "database that is read only",
        "SELECT options FROM information_schema.schemata_extensions WHERE schema_name = database()",
        ("ALTER DATABASE {database} READ ONLY = 1",),
    ),
)
SQLITE = (
    Kind(
        "view",
        "SELECT sql FROM sqlite_master WHERE type = 'view'",
        ("DROP VIEW seen", "CREATE VIEW seen AS SELECT id FROM children"),
    ),
    Kind(
        "trigger",
        "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        ("CREATE TRIGGER t AFTER DELETE ON kinds BEGIN DELETE FROM parents; END",),
    ),
    Kind(
        "index",
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql <> ''",
        ("CREATE INDEX i ON kinds (name)",),
    ),
    Kind(
        "virtual table",
        "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'",
        ("CREATE VIRTUAL TABLE f USING fts5(x)", "INSERT INTO f VALUES ('x')"),
    ),
    Kind("application_id", "PRAGMA application_id", ("PRAGMA application_id = 7",)),
    Kind("statistics", "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'", ("ANALYZE",)),
)
MARIADB = (
    *(
        kind
        for kind in MYSQL
        if kind.name not in {"invisible index", "histogram", "database that is read only"}
    ),
    Kind(
        "ignored index",
        "SELECT ignored FROM information_schema.statistics WHERE table_schema = database() ORDER BY 1",
        ("ALTER TABLE children ALTER INDEX name IGNORED",),
    ),
    Kind(
        "sequence",
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = database() AND table_type = 'SEQUENCE'",
        ("CREATE SEQUENCE numbers", "SELECT NEXT VALUE FOR numbers"),
    ),
    Kind(
        "table with system versioning",
        "SELECT table_type FROM information_schema.tables WHERE table_schema = database() ORDER BY 1",
        ("ALTER TABLE kinds ADD SYSTEM VERSIONING",),
    ),
    Kind(
        "package",
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database()",
        (
            "SET sql_mode = 'ORACLE'",
            "CREATE PACKAGE parcel AS FUNCTION one RETURN INT; END",
            "CREATE PACKAGE BODY parcel AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END",
            "SET sql_mode = DEFAULT",
        ),
    ),
    Kind(
        "comment on the database",
        "SELECT schema_comment FROM information_schema.schemata WHERE schema_name = database()",
        ("ALTER DATABASE {database} COMMENT 'new'",),
    ),
)
KINDS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MARIADB}
# What a session holds after it was returned to its pool, or leaves on the server for all databases.
LOCKED = "SELECT lock_type FROM performance_schema.metadata_locks WHERE object_name IN ('things', 'left')"
LOCKS = (
    Kind("lock", LOCKED, ("SELECT GET_LOCK('left', 1)",)),
    Kind("lock", LOCKED, ("LOCK TABLES things READ",)),
    Kind("lock", LOCKED, ("LOCK TABLES things WRITE",)),
    Kind("lock", LOCKED, ("HANDLER things OPEN",)),
)
HELD = {
    "sqlite": (),
    "postgresql": (
        Kind("lock", "SELECT objid FROM pg_locks WHERE objid = 77", ("SELECT pg_advisory_lock(77)",)),
        Kind(
            "transaction",
            "SELECT gid FROM pg_prepared_xacts",
            ("BEGIN", "INSERT INTO things VALUES (1)", "PREPARE TRANSACTION 'left'"),
        ),
        Kind(
            "change",
            "SELECT setconfig::text FROM pg_db_role_setting WHERE setdatabase = 0",
            ("ALTER ROLE CURRENT_USER SET work_mem = '9MB'",),
        ),
    ),
    "mysql": (
        *LOCKS,
        Kind(
            "change",
            "XA RECOVER",
            ("XA BEGIN 'left'", "INSERT INTO things VALUES (1)", "XA END 'left'", "XA PREPARE 'left'"),
        ),
    ),
    # A pool cannot take back a connection with a prepared transaction: it refuses ROLLBACK.
    "mariadb": LOCKS,
}
# Statements about shared objects that name none of those in `HELD`, and the end of what `HELD` leaves.
OTHERS = {
    "sqlite": ((), ()),
    "postgresql": (
        ("ALTER ROLE CURRENT_USER RESET lock_timeout",),
        ("ALTER ROLE CURRENT_USER RESET work_mem",),
    ),
    "mysql": (("XA RECOVER",), ("XA ROLLBACK 'left'",)),
    "mariadb": (("XA RECOVER",), ()),
}
# An administrator has executed these before the test.
KEPT = {
    "postgresql": (
        "CREATE ROLE kept_role PASSWORD 'kept'",
        "CREATE ROLE kept_group",
        "GRANT kept_group TO kept_role",
        "ALTER ROLE kept_role SET work_mem = '5MB'",
        "ALTER ROLE kept_role SET search_path = kept, public",
        "ALTER SYSTEM SET work_mem = '5MB'",
        "GRANT SET ON PARAMETER lock_timeout TO kept_role",
    ),
    "mysql": (
        "CREATE USER kept_user IDENTIFIED BY 'kept'",
        "CREATE ROLE kept_role",
        "GRANT kept_role TO kept_user",
        "GRANT PROCESS ON *.* TO kept_user",
        "SET PERSIST max_error_count = 99",
    ),
    "mariadb": (
        "CREATE USER kept_user IDENTIFIED BY 'kept'",
        "CREATE ROLE kept_role",
        "GRANT kept_role TO kept_user",
        "GRANT PROCESS ON *.* TO kept_user",
    ),
}
SYSTEM = (
    'GEOGCS["left",DATUM["left",SPHEROID["left",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.017453292519943278],AXIS["Lat",NORTH],AXIS["Lon",EAST]]'
)
# Only an administrator can change these. Their names begin as the leak's description does.
# On MySQL and MariaDB.
PRIVILEGES = (
    Kind(
        "privilege PROCESS of 'kept_user'@'%' was removed",
        "SELECT process_priv FROM mysql.user WHERE user = 'kept_user'",
        ("REVOKE PROCESS ON *.* FROM kept_user",),
    ),
    Kind(
        "privilege SELECT {database} of 'kept_user'@'%' was created",
        "SELECT db FROM mysql.db WHERE user = 'kept_user'",
        ("GRANT SELECT ON {database}.* TO kept_user",),
    ),
)
SHARED = {
    "postgresql": (
        Kind(
            "role left_role was created",
            "SELECT rolname FROM pg_roles",
            ("CREATE ROLE left_role", "GRANT ALL ON things TO left_role"),
        ),
        Kind(
            "role kept_group was removed",
            "SELECT rolname, pg_has_role('kept_role', oid, 'MEMBER') FROM pg_roles",
            ("DROP ROLE kept_group",),
        ),
        Kind(
            "role kept_role was changed",
            "SELECT rolcreatedb FROM pg_roles",
            ("ALTER ROLE kept_role CREATEDB",),
        ),
        Kind(
            "password of role kept_role was changed",
            "SELECT rolpassword FROM pg_authid",
            ("ALTER ROLE kept_role PASSWORD 'left'",),
        ),
        Kind(
            "membership of kept_group in kept_role was created",
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members",
            ("REVOKE kept_group FROM kept_role", "GRANT kept_role TO kept_group"),
        ),
        Kind(
            "membership of kept_role in kept_group was removed",
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members",
            ("REVOKE kept_group FROM kept_role",),
        ),
        Kind(
            "setting of ROLE kept_role: work_mem was changed",
            "SELECT setconfig::text FROM pg_db_role_setting",
            ("ALTER ROLE kept_role SET work_mem = '9MB'",),
        ),
        Kind(
            "setting of ROLE kept_role: search_path was removed",
            "SELECT setconfig::text FROM pg_db_role_setting",
            ("ALTER ROLE kept_role RESET search_path",),
        ),
        Kind(
            "setting of ROLE ALL: work_mem was created",
            "SELECT setconfig::text FROM pg_db_role_setting",
            ("ALTER ROLE ALL SET work_mem = '9MB'",),
        ),
        Kind(
            "setting of DATABASE testbed: work_mem was created",
            "SELECT setconfig::text FROM pg_db_role_setting",
            ("ALTER DATABASE testbed SET work_mem = '9MB'",),
        ),
        Kind(
            "server setting work_mem was changed",
            "SELECT setting FROM pg_file_settings WHERE name = 'work_mem'",
            ("ALTER SYSTEM SET work_mem = '9MB'",),
        ),
        Kind(
            "server setting lock_timeout was created",
            "SELECT setting FROM pg_file_settings WHERE name = 'lock_timeout'",
            ("ALTER SYSTEM SET lock_timeout = '9s'",),
        ),
        Kind(
            "privilege SET on parameter lock_timeout of kept_role was removed",
            "SELECT paracl::text FROM pg_parameter_acl",
            ("REVOKE SET ON PARAMETER lock_timeout FROM kept_role",),
        ),
        Kind(
            "tablespace left_space was created",
            "SELECT spcname FROM pg_tablespace",
            ("SET allow_in_place_tablespaces = on", "CREATE TABLESPACE left_space LOCATION ''"),
        ),
        Kind(
            "replication origin left_origin was created",
            "SELECT roname FROM pg_replication_origin",
            ("SELECT pg_replication_origin_create('left_origin')",),
        ),
        Kind(
            "replication slot left_slot was created",
            "SELECT slot_name FROM pg_replication_slots",
            ("SELECT pg_create_logical_replication_slot('left_slot', 'pgoutput')",),
        ),
        Kind(
            "subscription left_sub was created",
            "SELECT subname FROM pg_subscription",
            ("CREATE SUBSCRIPTION left_sub CONNECTION 'dbname=x' PUBLICATION x WITH (connect = false)",),
        ),
    ),
    "mysql": (
        Kind(
            "user 'left_user'@'%' was created",
            "SELECT user FROM mysql.user",
            ("CREATE USER left_user", "GRANT SELECT ON *.* TO left_user"),
        ),
        Kind(
            "password of 'kept_user'@'%' was changed",
            "SELECT user, authentication_string FROM mysql.user WHERE user = 'kept_user'",
            ("ALTER USER kept_user IDENTIFIED BY 'left'",),
        ),
        Kind(
            "password of 'kept_user'@'%' was changed",
            "SELECT account_locked FROM mysql.user WHERE user = 'kept_user'",
            ("ALTER USER kept_user ACCOUNT LOCK",),
        ),
        Kind(
            "role kept_role@% of kept_user@% was removed",
            "SELECT to_user FROM mysql.role_edges",
            ("REVOKE kept_role FROM kept_user",),
        ),
        *PRIVILEGES,
        Kind(
            "privilege SELECT {database} things of 'kept_user'@'%' was created",
            "SELECT table_priv FROM mysql.tables_priv WHERE user = 'kept_user'",
            ("GRANT SELECT ON things TO kept_user",),
        ),
        Kind(
            "privilege SELECT {database} things id of 'kept_user'@'%' was created",
            "SELECT column_priv FROM mysql.columns_priv WHERE user = 'kept_user'",
            ("GRANT SELECT (id) ON things TO kept_user",),
        ),
        Kind(
            "variable net_retry_count was changed",
            "SELECT @@global.net_retry_count",
            ("SET GLOBAL net_retry_count = 99",),
        ),
        Kind(
            "variable init_connect was changed",
            "SELECT @@global.init_connect",
            ("SET @@global.init_connect = 'SET @left = 1'",),
        ),
        Kind(
            "persisted variable max_error_count was changed",
            "SELECT * FROM performance_schema.persisted_variables",
            ("SET PERSIST max_error_count = 98",),
        ),
        Kind(
            "persisted variable max_error_count was removed",
            "SELECT * FROM performance_schema.persisted_variables",
            ("RESET PERSIST max_error_count",),
        ),
        Kind(
            "tablespace left_space was created",
            "SELECT name FROM information_schema.innodb_tablespaces WHERE space_type = 'General'",
            ("CREATE TABLESPACE left_space ADD DATAFILE 'left_space.ibd'",),
        ),
        Kind(
            "resource group left_group was created",
            "SELECT resource_group_name FROM information_schema.resource_groups",
            ("CREATE RESOURCE GROUP left_group TYPE = USER",),
        ),
        Kind(
            "component file://component_query_attributes was created",
            "SELECT component_urn FROM mysql.component",
            ("INSTALL COMPONENT 'file://component_query_attributes'",),
        ),
        Kind(
            "server left_server was created",
            "SELECT server_name FROM mysql.servers",
            ("CREATE SERVER left_server FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'left')",),
        ),
        Kind(
            "spatial reference system 990001 was created",
            "SELECT srs_id FROM information_schema.st_spatial_reference_systems WHERE srs_id = 990001",
            (f"CREATE SPATIAL REFERENCE SYSTEM 990001 NAME 'left' DEFINITION '{SYSTEM}'",),
        ),
    ),
    "mariadb": (
        Kind(
            "user 'left_user'@'%' was created",
            "SELECT user FROM mysql.user",
            ("CREATE USER left_user", "GRANT SELECT ON *.* TO left_user"),
        ),
        Kind("role left_role was created", "SELECT user FROM mysql.global_priv", ("CREATE ROLE left_role",)),
        Kind(
            "password of 'kept_user'@'%' was changed",
            "SELECT authentication_string FROM mysql.user WHERE user = 'kept_user'",
            ("ALTER USER kept_user IDENTIFIED BY 'left'",),
        ),
        Kind(
            "password of 'kept_user'@'%' was changed",
            "SELECT COALESCE(JSON_VALUE(priv, '$.account_locked'), 0) = 1 FROM mysql.global_priv"
            " WHERE user = 'kept_user'",
            ("ALTER USER kept_user ACCOUNT LOCK",),
        ),
        Kind(
            "role kept_role of kept_user@% was removed",
            "SELECT user FROM mysql.roles_mapping",
            ("REVOKE kept_role FROM kept_user",),
        ),
        *PRIVILEGES,
        Kind(
            "privilege SELECT {database} things of 'kept_user'@'%' was created",
            "SELECT table_priv FROM mysql.tables_priv WHERE user = 'kept_user'",
            ("GRANT SELECT ON things TO kept_user",),
        ),
        Kind(
            "variable NET_RETRY_COUNT was changed",
            "SELECT @@global.net_retry_count",
            ("SET GLOBAL net_retry_count = 99",),
        ),
        Kind(
            "server left_server was created",
            "SELECT server_name FROM mysql.servers",
            ("CREATE SERVER left_server FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'left')",),
        ),
    ),
}

"""Queries for the objects that all databases of a MySQL server share.

A test that changes one of them fails, and the change is undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import NAME_PATTERN, SharedObject, SharedObjects, query_shared

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.connection import Connection


def _literal(column: str) -> str:
    return f"IF({column} REGEXP '^-?[0-9]+([.][0-9]+)?$', {column}, QUOTE({column}))"


def _grants(view: str, columns: str, target: str, privilege: str = "privilege_type") -> str:
    """Return a query for privileges, which a database leaves behind when it is dropped."""
    return f"""
        SELECT CONCAT_WS(' ', 'privilege', {columns}, 'of', grantee), SUBSTRING_INDEX(SUBSTR(grantee, 2), '\\'@', 1),
               '', CONCAT('REVOKE ', {privilege}, ' ON ', {target}, ' FROM ', grantee),
               CONCAT('GRANT ', {privilege}, ' ON ', {target}, ' TO ', grantee)
        FROM information_schema.{view} WHERE privilege_type <> 'USAGE'
    """  # noqa: S608


PRIVILEGES = (
    _grants("user_privileges", "privilege_type", "'*.*'"),
    _grants("schema_privileges", "privilege_type, table_schema", "CONCAT('`', table_schema, '`.*')"),
    _grants(
        "table_privileges",
        "privilege_type, table_schema, table_name",
        "CONCAT('`', table_schema, '`.`', table_name, '`')",
    ),
    _grants(
        "column_privileges",
        "privilege_type, table_schema, table_name, column_name",
        "CONCAT('`', table_schema, '`.`', table_name, '`')",
        "CONCAT(privilege_type, ' (`', column_name, '`)')",
    ),
)
SHARED_STATEMENT = (
    r"\b(CREATE|ALTER|DROP|RENAME)\s+(USER|ROLE|DATABASE|SCHEMA|(UNDO\s+)?TABLESPACE|SERVER|RESOURCE\s+GROUP)\b"
    r"|\bSPATIAL\s+REFERENCE\s+SYSTEM\b|\bGRANT\s.*\sTO\s|\bREVOKE\s.*\sFROM\s|\b(UN)?INSTALL\s+(PLUGIN|COMPONENT)\b"
    r"|\sSONAME\s|(^|;)\s*(XA|SET\s+PASSWORD|SET\s+DEFAULT\s+ROLE|RESET\s+PERSIST)\b"
    r"|(^|;)\s*SET\s.*\b(GLOBAL|PERSIST|PERSIST_ONLY)\b"
)
ACCOUNT = "CONCAT(QUOTE(user), '@', QUOTE(host))"
SHARED = (
    f"""
        SELECT CONCAT('user ', {ACCOUNT}), user, attribute, CONCAT('DROP USER ', {ACCOUNT}), ''
        FROM information_schema.user_attributes
    """,  # noqa: S608
    f"""
        SELECT CONCAT('password of ', {ACCOUNT}), user, CONCAT_WS(' ', plugin, HEX(authentication_string), account_locked), '',
               CONCAT('ALTER USER ', {ACCOUNT}, ' IDENTIFIED WITH ', plugin, ' AS ', IF(authentication_string = '', "''",
                      CONCAT('0x', HEX(authentication_string))), IF(account_locked = 'Y', ' ACCOUNT LOCK', ' ACCOUNT UNLOCK'))
        FROM mysql.user
    """,  # noqa: S608
    """
        SELECT CONCAT('role ', from_user, '@', from_host, ' of ', to_user, '@', to_host), CONCAT(to_user, ' ', from_user), '',
               CONCAT('REVOKE ', QUOTE(from_user), '@', QUOTE(from_host), ' FROM ', QUOTE(to_user), '@', QUOTE(to_host)),
               CONCAT('GRANT ', QUOTE(from_user), '@', QUOTE(from_host), ' TO ', QUOTE(to_user), '@', QUOTE(to_host))
        FROM mysql.role_edges
    """,
    *PRIVILEGES,
    f"""
        SELECT CONCAT('variable ', variable_name), variable_name, variable_value, '',
               CONCAT('SET GLOBAL ', variable_name, ' = ', {_literal("variable_value")})
        FROM performance_schema.global_variables
    """,  # noqa: S608
    f"""
        SELECT CONCAT('persisted variable ', variable_name), variable_name, variable_value,
               CONCAT('RESET PERSIST IF EXISTS ', variable_name),
               CONCAT('SET PERSIST ', variable_name, ' = ', {_literal("variable_value")})
        FROM performance_schema.persisted_variables
    """,  # noqa: S608
    f"""
        SELECT CONCAT('database ', schema_name), schema_name, default_collation_name, '', ''
        FROM information_schema.schemata WHERE NOT REGEXP_LIKE(schema_name, '{NAME_PATTERN}')
    """,  # noqa: S608
    """
        SELECT CONCAT('tablespace ', name), name, state, IF(space_type = 'General', CONCAT('DROP TABLESPACE `', name, '`'), ''), ''
        FROM information_schema.innodb_tablespaces WHERE space_type IN ('General', 'Undo')
    """,
    """
        SELECT CONCAT('resource group ', resource_group_name), resource_group_name,
               CONCAT_WS(' ', resource_group_enabled, vcpu_ids, thread_priority),
               CONCAT('DROP RESOURCE GROUP `', resource_group_name, '` FORCE'), ''
        FROM information_schema.resource_groups
    """,
    (
        "SELECT CONCAT('function ', udf_name), udf_name, '', CONCAT('DROP FUNCTION `', udf_name, '`'), ''"
        " FROM performance_schema.user_defined_functions"
    ),
    (
        "SELECT CONCAT('plugin ', plugin_name), plugin_name, '', CONCAT('UNINSTALL PLUGIN `', plugin_name, '`'), ''"
        " FROM information_schema.plugins"
    ),
    (
        "SELECT CONCAT('component ', component_urn), component_urn, '', CONCAT('UNINSTALL COMPONENT ', QUOTE(component_urn)), ''"
        " FROM mysql.component"
    ),
    (
        "SELECT CONCAT('server ', server_name), server_name, CONCAT_WS(' ', host, db, username, port),"
        " CONCAT('DROP SERVER `', server_name, '`'), '' FROM mysql.servers"
    ),
    (
        "SELECT CONCAT('spatial reference system ', srs_id), srs_id, definition,"
        " CONCAT('DROP SPATIAL REFERENCE SYSTEM ', srs_id), '' FROM information_schema.st_spatial_reference_systems WHERE srs_id > 32767"
    ),
)


def query_all_shared(connection: Connection) -> list[SharedObjects]:
    """Return the prepared transactions too: no query returns them."""
    return [*query_shared(connection, *SHARED), prepared_transactions(connection, "XA RECOVER CONVERT XID")]


def prepared_transactions(connection: Connection, query: str) -> SharedObjects:
    """Return the prepared transactions, or None if the user may not see them.

    Args:
        connection: A connection to the server.
        query: Returns their ids, as bytes or as text of hexadecimal digits.
    """
    try:
        rows = connection.rows(query)
    except Exception:  # noqa: BLE001 - the user lacks the privilege XA_RECOVER_ADMIN
        return None
    found = {}
    for format_id, length, _, data in rows:
        xid = data if isinstance(data, bytes) else bytes.fromhex(str(data).removeprefix("0x"))
        first, second = xid[: int(length)], xid[int(length) :]
        name = first.decode(errors="replace")
        end = f"XA ROLLBACK X'{first.hex()}', X'{second.hex()}', {format_id}"
        found[end] = SharedObject(f"prepared transaction {name!r}", name, "", end, "")
    return found

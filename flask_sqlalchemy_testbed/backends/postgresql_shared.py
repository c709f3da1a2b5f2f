"""Queries for the objects that all databases of a PostgreSQL server share.

A test that changes one of them fails, and the change is undone.
"""

from __future__ import annotations

from flask_sqlalchemy_testbed.backends.base import NAME_PATTERN

OWN_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
SHARED_STATEMENT = (
    r"\b(CREATE|ALTER|DROP)\s+(ROLE|USER|GROUP|DATABASE|TABLESPACE|SYSTEM|SUBSCRIPTION)\b"
    r"|\bGRANT\s.*\sTO\s|\bREVOKE\s.*\sFROM\s|\bpg_\w*replication_(slot|origin)"
)
# Values of these settings are lists of names, and stand in the catalogue as they are written.
LISTS = (
    "('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries',"
    " 'shared_preload_libraries', 'unix_socket_directories')"
)
VALUE = f"CASE WHEN name IN {LISTS} THEN value ELSE quote_literal(value) END"
# Of objects that are in one database only: those that prevent it from being dropped.
SHARED = (
    r"""
        SELECT format('role %I', rolname), rolname, to_jsonb(r) - '{oid,rolconfig}'::text[],
               format(E'DROP OWNED BY %1$I\nDROP ROLE %1$I', rolname),
               format(E'CREATE ROLE %1$I\nALTER ROLE %1$I CONNECTION LIMIT %2$s\n', rolname, rolconnlimit) || (
                   SELECT string_agg(format('ALTER ROLE %I %s%s', rolname, CASE value WHEN 'false' THEN 'NO' END,
                                            CASE key WHEN 'rolsuper' THEN 'SUPERUSER' WHEN 'rolcanlogin' THEN 'LOGIN'
                                                     ELSE upper(substr(key, 4)) END), E'\n')
                   FROM jsonb_each_text(to_jsonb(r)) WHERE value IN ('true', 'false'))
        FROM pg_roles r WHERE rolname !~ '^pg_'
    """,
    """
        SELECT format('password of role %I', rolname), rolname, rolpassword, '',
               format('ALTER ROLE %I PASSWORD %L', rolname, rolpassword)
        FROM pg_authid WHERE rolpassword IS NOT NULL
    """,
    """
        SELECT format('membership of %I in %I', m.rolname, r.rolname), m.rolname || ' ' || r.rolname, to_jsonb(a) - '{oid,roleid,member,grantor}'::text[],
               format('REVOKE %I FROM %I', r.rolname, m.rolname), format('GRANT %I TO %I', r.rolname, m.rolname)
        FROM pg_auth_members a JOIN pg_roles m ON m.oid = member JOIN pg_roles r ON r.oid = roleid
    """,
    f"""
        SELECT format('setting of %s: %s', whose, name), name, value, format('ALTER %s RESET %I', whose, name),
               format('ALTER %s SET %I TO %s', whose, name, {VALUE})
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = setrole
             LEFT JOIN pg_database d ON d.oid = setdatabase
             CROSS JOIN unnest(setconfig) AS setting,
             LATERAL (SELECT split_part(setting, '=', 1) AS name,
                             substr(setting, strpos(setting, '=') + 1) AS value,
                             CASE WHEN setrole = 0 AND setdatabase <> 0 THEN format('DATABASE %I', datname)
                             ELSE concat_ws(' ', 'ROLE', coalesce(quote_ident(rolname), 'ALL'),
                                            'IN DATABASE ' || quote_ident(datname)) END AS whose) AS parts
        WHERE datname IS NULL OR datname !~ '{NAME_PATTERN}'
    """,  # noqa: S608
    f"""
        SELECT format('server setting %s', name), name, setting,
               format(E'ALTER SYSTEM RESET %I\\nSELECT pg_reload_conf()', name),
               format(E'ALTER SYSTEM SET %I TO %s\\nSELECT pg_reload_conf()', name, {VALUE})
        FROM pg_file_settings CROSS JOIN LATERAL (SELECT setting AS value) AS v
        WHERE sourcefile LIKE '%auto.conf'
    """,  # noqa: S608
    f"""
        SELECT format('database %I', datname), datname, '', '', '' FROM pg_database WHERE datname !~ '{NAME_PATTERN}'
    """,  # noqa: S608
    """
        SELECT format('tablespace %I', spcname), spcname, spcoptions, format('DROP TABLESPACE %I', spcname), ''
        FROM pg_tablespace
    """,
    """
        SELECT format('privilege %s on parameter %s of %s', privilege_type, parname, grantee::regrole), parname, '',
               format('REVOKE %s ON PARAMETER %s FROM %s', privilege_type, parname, grantee::regrole),
               format('GRANT %s ON PARAMETER %s TO %s', privilege_type, parname, grantee::regrole)
        FROM pg_parameter_acl, aclexplode(paracl)
    """,
    (
        "SELECT format('replication origin %I', roname), roname, '', format('SELECT pg_replication_origin_drop(%L)', roname), ''"
        " FROM pg_replication_origin WHERE roname !~ '^pg_'"
    ),
    f"""
        SELECT format('subscription %I', subname), subname, subenabled,
               format(E'ALTER SUBSCRIPTION %1$I DISABLE\\nALTER SUBSCRIPTION %1$I SET (slot_name = NONE)\\n'
                      'DROP SUBSCRIPTION %1$I', subname), ''
        FROM pg_subscription WHERE subdbid = {OWN_DATABASE}
    """,  # noqa: S608
    (
        "SELECT format('replication slot %I', slot_name), slot_name, '', format('SELECT pg_drop_replication_slot(%L)', slot_name), ''"
        " FROM pg_replication_slots"
    ),
)

"""Claims about values and types on each database."""

from flask_sqlalchemy_testbed.checks.causes import FOREIGN_KEYS_OFF, SESSIONS_STAY_OPEN, TIME_ZONE
from flask_sqlalchemy_testbed.checks.changes import REMOVE_LAST
from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, PORTABILITY, Check

UTC = "Set the connection's time zone: options=-c timezone=UTC, init_command=SET time_zone = '+00:00'."
KEYS = (
    "On SQLite send PRAGMA foreign_keys = ON in a listener for the engine's `connect`; on others leave"
    " session_replication_role (PostgreSQL) and foreign_key_checks (MySQL) alone."
)
CHECKS = (
    Check(
        "portability.foreign-keys",
        "No connection of the pool accepts a row whose foreign key refers to no row.",
        severity=DATA,
        cause=FOREIGN_KEYS_OFF,
        cases=(40,),
        remedy=KEYS,
        unfailable={"postgresql": "only a superuser can switch its foreign keys off"},
        default_of="SQLite",
    ),
    Check(
        "portability.cascade",
        "ON DELETE CASCADE in the schema deletes dependent rows.",
        severity=DATA,
        cause=FOREIGN_KEYS_OFF,
        cases=(40,),
        remedy=KEYS,
        unfailable={"postgresql": "only a superuser can switch its foreign keys off"},
        default_of="SQLite",
    ),
    Check(
        "portability.writer-waits",
        "A writer waits until another one commits; it is not refused at once.",
        connections=2,
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(41,),
        remedy="Allow seconds to wait: `timeout` of SQLite's driver, the server's lock timeout elsewhere.",
    ),
    Check(
        "portability.writer-lets-go",
        "A request that wrote and did not commit blocks no other writer once it has ended.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(41,),
        remedy=REMOVE_LAST,
    ),
    Check(
        "portability.too-long",
        "A text that is too long for its column is refused (SQLite ignores lengths), and never cut off.",
        severity=DATA,
        cases=(42,),
        remedy="On MySQL set STRICT_TRANS_TABLES or TRADITIONAL in the connection's sql_mode.",
        unfailable={
            "sqlite": "it ignores lengths, and has no option to change that",
            "postgresql": "it has no lax mode",
        },
    ),
    Check(
        "portability.characters",
        "All Unicode characters are stored, compared and returned unchanged.",
        severity=DATA,
        cases=(44,),
        remedy="On MySQL connect with charset=utf8mb4; on PostgreSQL do not change client_encoding.",
    ),
    Check(
        "portability.own-table-characters",
        "A table that the app's own engine created stores, tells apart and returns all Unicode characters.",
        severity=DATA,
        cases=(44, 77),
        remedy="On MySQL add no character set or collation but those of utf8mb4 to CREATE TABLE.",
    ),
    Check(
        "portability.same-settings",
        "All connections of an app have the same settings, and a rollback changes none of them.",
        severity=PORTABILITY,
        cases=(71, 46, 40),
        remedy=(
            "Make settings as arguments of the driver, or in a listener for `connect`, which runs for each"
            " connection; on PostgreSQL commit there, or set autocommit while the listener runs."
        ),
    ),
    Check(
        "portability.time-zone",
        "The current time of the database is in UTC.",
        severity=PORTABILITY,
        cause=TIME_ZONE,
        cases=(46,),
        remedy=UTC,
        unfailable={"sqlite": "it knows no time zone but UTC"},
    ),
    Check(
        "portability.time-zone-of-the-server",
        "The current time of the database is in UTC even if the server has another time zone.",
        severity=PORTABILITY,
        cause=TIME_ZONE,
        cases=(46,),
        needs=("container",),
        remedy=UTC,
        default_of="the drivers",
    ),
    Check(
        "portability.any-length",
        "Only MySQL has no VARCHAR without a length.",
        severity=PORTABILITY,
        cases=(42,),
        records=True,
    ),
    Check(
        "portability.case",
        "Only MySQL ignores case and accents, in comparisons and in unique keys.",
        severity=PORTABILITY,
        cases=(43,),
        records=True,
    ),
    Check(
        "portability.fractions",
        "MySQL drops fractions of a second, unless the column is a DATETIME(6).",
        severity=PORTABILITY,
        cases=(45,),
        records=True,
    ),
    Check(
        "portability.aware-times",
        "Only PostgreSQL stores the instant of a time with a zone; the others drop the zone.",
        severity=PORTABILITY,
        cases=(46,),
        records=True,
    ),
    Check(
        "portability.generated-key",
        "inserted_primary_key has the key of a new row everywhere; lastrowid does not on PostgreSQL.",
        severity=PORTABILITY,
        cases=(47,),
        records=True,
    ),
    Check(
        "portability.null-order",
        "The default place of NULL in an ordering differs, and so does the support of NULLS LAST.",
        severity=PORTABILITY,
        cases=(48,),
        records=True,
    ),
    Check(
        "portability.json-null",
        "None in a JSON column is stored as the JSON null, unless the column says none_as_null.",
        severity=PORTABILITY,
        cases=(49,),
        records=True,
    ),
    Check(
        "portability.uuid",
        "A UUID is returned unchanged; PostgreSQL and newer versions of MariaDB have a type for it.",
        severity=PORTABILITY,
        cases=(49,),
        records=True,
    ),
    Check(
        "portability.large-binary",
        "A LargeBinary of 70 KB is returned unchanged; MySQL refuses it, because its BLOB ends at 64 KB.",
        severity=PORTABILITY,
        cases=(49,),
        records=True,
    ),
    Check(
        "portability.too-large",
        "A number that is too large for its column is refused, except by SQLite.",
        severity=PORTABILITY,
        cases=(49,),
        records=True,
    ),
)

"""Observe databases over plain engines; `observer` runs this module as a process.

Each function gets the URI of a database with the battery's tables, and returns plain values.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import uuid
import warnings
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, NullPool, String, create_engine, event, func, insert, null, select
from sqlalchemy.exc import CompileError, DBAPIError, SAWarning

from flask_sqlalchemy_testbed.battery.tables import Item, Value, create_here
from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.timeline.recorder import record_in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine, Table

KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
SAME_TO_SOME = ["abc", "ABC", "\xe1bc"]
BLOB = b"x" * 70_000
# The clause with which an INSERT sets a generated key, by dialect; SQLAlchemy cannot write it.
SETS_IDENTITIES = {"postgresql": " OVERRIDING SYSTEM VALUE"}
# The rows of the last `keep_rows`.
_kept: list[tuple[Table, list[dict[str, Any]]]] = []


def create_tables(engine: Engine) -> None:
    """Create the battery's tables in a database that has none."""
    create_here(engine)


def keep_rows(engine: Engine) -> None:
    """Keep the rows of all tables in this process, for `restore_rows`."""
    metadata = MetaData()
    with warnings.catch_warnings():
        # Some types are unknown to SQLAlchemy, and tables may refer to each other.
        warnings.simplefilter("ignore", SAWarning)
        metadata.reflect(engine)
        tables = metadata.sorted_tables
    with engine.connect() as connection:
        _kept[:] = [
            (table, [dict(row) for row in connection.execute(select(*_written(table))).mappings()])
            for table in tables
        ]


def restore_rows(engine: Engine) -> None:
    """Insert the rows of `keep_rows` into empty tables; create those that the app's metadata lacks."""
    if _kept:
        _kept[0][0].metadata.create_all(engine)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def keep_identities(_: object, __: object, statement: str, parameters: Any, *___: object) -> Any:
        clause = SETS_IDENTITIES.get(engine.dialect.name, "")
        return statement.replace(") VALUES (", f"){clause} VALUES (", 1), parameters

    with engine.begin() as connection:
        for table, rows in _kept:
            for row in rows:
                # None would be the null of JSON in a column of that type.
                values = {name: null() if value is None else value for name, value in row.items()}
                connection.execute(insert(table).values(values))


def _written(table: Table) -> list[Any]:
    return [column for column in table.columns if column.computed is None]


def any_length(engine: Engine) -> bool:
    """Return whether a VARCHAR needs no length."""
    try:
        String().compile(dialect=engine.dialect)
    except CompileError:
        return False
    return True


def case(engine: Engine) -> dict[str, list[str]]:
    """Return the texts that equal `abc`, and those that are refused beside it in a unique column."""
    with engine.begin() as connection:
        connection.execute(insert(Item).values(name="abc"))
    with engine.connect() as connection:
        equal = [name for name in SAME_TO_SOME if connection.scalar(select(Item.id).where(Item.name == name))]
    refused = [name for name in SAME_TO_SOME if _is_refused(engine, insert(Item).values(name=name))]
    return {"equal": equal, "refused": refused}


def fractions(engine: Engine) -> dict[str, Any]:
    """Return the microseconds that are left of .619950 s in a DATETIME, and in one with a precision."""
    moment = datetime(2024, 2, 29, 12, 30, 15, 619950)  # noqa: DTZ001 - the column has no time zone
    row = _stored(engine, moment=moment, precise=moment)
    return {"plain": row.moment.microsecond, "precise": row.precise.microsecond}


def aware_times(engine: Engine) -> dict[str, bool]:
    """Return what a column keeps of a time with a zone: the instant, or the time without the zone."""
    there = datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone(timedelta(hours=-8)))
    back = _stored(engine, aware=there).aware
    return {"instant": back == there, "local": back == there.replace(tzinfo=None)}


def generated_key(engine: Engine) -> dict[str, bool]:
    """Return where the key of a new row can be read."""
    with engine.begin() as connection:
        key = connection.execute(
            insert(Item.metadata.tables[Item.__tablename__]).values(name="new")
        ).inserted_primary_key
        first = connection.scalar(select(Item.id))
        cursor = connection.exec_driver_sql("INSERT INTO testbed_item (name) VALUES ('newer')")
        second = connection.scalar(select(func.max(Item.id)))
    return {
        "inserted_primary_key": key is not None and key[0] == first,
        # The cursors of psycopg 3 have no such attribute; SQLAlchemy passes the AttributeError on.
        "lastrowid": getattr(cursor, "lastrowid", None) == second,
    }


def null_order(engine: Engine) -> dict[str, Any]:
    """Return an ordering of rows with NULL, and whether NULLS LAST is refused."""
    with engine.begin() as connection:
        connection.execute(insert(Value), [{"number": 1}, {"number": None}, {"number": 2}])
        found = connection.scalars(select(Value.number).order_by(Value.number)).all()
    explicit = select(Value.number).order_by(Value.number.nulls_last())
    return {"by default": list(found), "NULLS LAST": not _is_refused(engine, explicit)}


def json_null(engine: Engine) -> dict[str, Any]:
    """Return how many of a JSON null and an SQL NULL are NULL, and both as they are read."""
    with engine.begin() as connection:
        connection.execute(insert(Value), [{"document": None}])
        connection.execute(insert(Value).values(document=null()))
        nulls = connection.scalar(select(func.count()).where(Value.document.is_(null())))
        return {"nulls": nulls, "read": list(connection.scalars(select(Value.document)))}


def uuid_column(engine: Engine) -> dict[str, Any]:
    """Return whether a UUID is returned unchanged, and how it is stored."""
    same = _stored(engine, universal=KEY).universal == KEY
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT universal FROM testbed_value").scalar()
    return {"same": same, "stored": str(found)}


def large_binary(engine: Engine) -> str:
    """Return "refused", "the same" or "changed": the fate of 70 KB in a LargeBinary."""
    if _is_refused(engine, insert(Value).values(blob=BLOB)):
        return "refused"
    return "the same" if _stored(engine, blob=BLOB).blob == BLOB else "changed"


def too_large(engine: Engine) -> bool:
    """Return whether a number that is too large for its column is refused."""
    return _is_refused(engine, insert(Value).values(amount=Decimal("123456.78")))


def _stored(engine: Engine, **values: Any) -> Any:
    """Insert a row and return it as it is read."""
    with engine.begin() as connection:
        connection.execute(insert(Value).values(**values))
    with engine.connect() as connection:
        return connection.execute(select(Value.__table__)).one()


def _is_refused(engine: Engine, statement: Any) -> bool:
    with engine.connect() as connection:
        try:
            connection.execute(statement)
        except DBAPIError:
            return True
    return False


def main() -> None:
    """Answer each line of the input, a name of a function and a URI, with a line of the output."""
    end_with(os.getppid())
    record_in_this_process()
    answers = sys.stdout
    # Only answers may be written there.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        what, uri = json.loads(line)
        function: Callable[[Engine], Any] = globals()[what]
        engine = create_engine(uri, poolclass=NullPool)
        try:
            answer = [function(engine), ""]
        except Exception:  # noqa: BLE001 - the other process raises it
            answer = [None, traceback.format_exc()]
        finally:
            engine.dispose()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

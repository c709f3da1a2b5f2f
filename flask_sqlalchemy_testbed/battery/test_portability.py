"""Where databases differ: what a binding has to decide, and what each of them does whatever the binding."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    Column,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    delete,
    func,
    insert,
    null,
    select,
    text,
    update,
)
from sqlalchemy.exc import CompileError, DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from flask_sqlalchemy_testbed.battery.tables import Item, Part, Value
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once
from flask_sqlalchemy_testbed.checks.check import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.battery.conftest import Trial

# How many connections a pool has at least, by default.
CONNECTIONS = 3
# Two that some collations take for the same.
SUSHI, BEER = "\N{SUSHI}", "\N{BEER MUG}"
KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
# For how long one writer must wait for another, at least; drivers that give up at once do so in far less.
PATIENCE = 0.3

# What is stored of nine characters in three.
STORED = {"sqlite": ["abcdefghi"], "postgresql": [], "mysql": []}
# Whether text of no stated length can be had.
ANY_LENGTH = {"sqlite": True, "postgresql": True, "mysql": False}
# Which of these the unique name `abc` stands in the way of, and which it equals.
SAME_AS_ABC = {"sqlite": ["abc"], "postgresql": ["abc"], "mysql": ["abc", "ABC", "\xe1bc"]}
# What is left of .619950 s in a DATETIME that does not say how fine it is.
MICROSECOND = {"sqlite": 619950, "postgresql": 619950, "mysql": 0}
# What a connection says about the characters that it sends and takes.
CHARACTERS = {
    "sqlite": ("PRAGMA encoding", "UTF-8"),
    "postgresql": ("SHOW client_encoding", "UTF8"),
    "mysql": ("SELECT @@character_set_connection", "utf8mb4"),
}
# How the server's clock is read without a time zone.
NOW = {
    "sqlite": "SELECT CURRENT_TIMESTAMP",
    "postgresql": "SELECT LOCALTIMESTAMP",
    "mysql": "SELECT CURRENT_TIMESTAMP",
}
# Whether a time remembers where it was taken, or at least when.
KEEPS_THE_INSTANT = {"sqlite": False, "postgresql": True, "mysql": False}
# Where NULL comes when nobody says where; and whether `NULLS LAST` is understood.
NULL_COMES_LAST = {"sqlite": False, "postgresql": True, "mysql": False}
NULLS_LAST = {"sqlite": True, "postgresql": True, "mysql": False}
# Whether the driver knows the key of the row that it has inserted.
LASTROWID = {"sqlite": True, "postgresql": False, "mysql": True}
# How a UUID, a JSON null and a number too large for its column are stored.
UUID_STORED = {"sqlite": KEY.hex, "postgresql": str(KEY), "mysql": KEY.hex}
TOO_LARGE_IS_REFUSED = {"sqlite": False, "postgresql": True, "mysql": True}
# A LargeBinary is 64 KB at most on MySQL.
LARGE_IS_REFUSED = {"sqlite": False, "postgresql": False, "mysql": True}


@pytest.fixture
def engine(trial: Trial) -> Iterator[Engine]:
    """An engine with nothing set: what it shows is the backend's doing, not the subject's."""
    engine = create_engine(trial.database.uri, poolclass=NullPool)
    yield engine
    engine.dispose()


def stored(engine: Engine, **values: Any) -> Value:
    """The row as it comes back."""
    with engine.begin() as connection:
        connection.execute(insert(Value).values(**values))
    with engine.connect() as connection:
        return connection.execute(select(Value.__table__)).one()  # type: ignore[return-value]


def is_refused(engine: Engine, statement: Any) -> bool:
    with engine.connect() as connection:
        try:
            connection.execute(statement)
        except DBAPIError:
            return True
    return False


# --- What a binding decides -------------------------------------------------------------------


@check("portability.foreign-keys")
def test_foreign_keys(trial: Trial) -> None:
    app = trial.app()
    all_connected, one_writer = threading.Barrier(CONNECTIONS, timeout=WITHIN), threading.Lock()

    def write_an_orphan() -> None:
        with app.app_context():
            trial.session.execute(select(Item))
            all_connected.wait()
            with one_writer:
                with pytest.raises(IntegrityError):
                    trial.session.execute(insert(Part).values(item_id=1))
                trial.session.rollback()

    at_once(*[write_an_orphan] * CONNECTIONS)


@check("portability.cascade")
def test_cascade(trial: Trial) -> None:
    with trial.app().app_context():
        trial.session.add(Item(id=1, name="whole"))
        trial.session.flush()
        trial.session.add(Part(item_id=1))
        trial.session.commit()
        trial.session.execute(delete(Item))
        trial.session.commit()

        assert trial.session.scalar(select(func.count(Part.id))) == 0, (
            "the row is left that belonged to the one deleted"
        )


@check("portability.writer-waits")
def test_writer_waits(trial: Trial) -> None:
    app = trial.app()
    trial.database.connection.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'old')")

    def rename(name: str) -> None:
        trial.session.execute(update(Item).values(name=name))

    def write() -> None:
        with app.app_context():
            rename("second")
            trial.session.commit()

    with app.app_context():
        rename("first")
        second = Task(write)
        ended_early = second.ended.wait(PATIENCE)
        trial.session.commit()
    second.result()

    assert not ended_early, "the second writer did not wait for the first one"
    assert trial.names() == ["second"], "the second writer's work is lost"


@check("portability.writer-lets-go")
def test_writer_lets_go(trial: Trial) -> None:
    app = trial.app()
    app.add_url_rule(
        "/testbed/write", view_func=lambda: str(trial.session.execute(update(Item).values(name="x")))
    )
    trial.database.connection.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'old')")
    app.test_client().get("/testbed/write")
    trial.database.connection.rows("UPDATE testbed_item SET name = 'new'")

    assert trial.names() == ["new"], "the request that has ended is in the way"


@check("portability.too-long")
def test_too_long(trial: Trial, testbed_backend: Backend) -> None:
    with trial.app().app_context():
        try:
            trial.session.execute(insert(Value).values(short="abcdefghi"))
            trial.session.commit()
        except DBAPIError:
            trial.session.rollback()

    found = [value for (value,) in trial.database.connection.rows("SELECT short FROM testbed_value")]
    assert found == STORED[testbed_backend.name], "what is stored of nine characters in a column of three"


@check("portability.characters")
def test_characters(trial: Trial, testbed_backend: Backend) -> None:
    question, answer = CHARACTERS[testbed_backend.name]
    with trial.app().app_context():
        trial.session.add_all([Item(id=1, name=SUSHI), Item(id=2, name=BEER)])
        trial.session.commit()

        assert trial.session.scalars(select(Item.name).order_by(Item.id)).all() == [SUSHI, BEER], (
            "what was read is not what was written"
        )
        assert trial.session.scalar(text(question)) == answer, "the connection's character set"
    assert trial.names() == [SUSHI, BEER], "what was stored is not what was written"


def assert_now_is_utc(trial: Trial, backend: Backend) -> None:
    with trial.app().app_context():
        said = trial.session.scalar(text(NOW[backend.name]))

    now = said if isinstance(said, datetime) else datetime.fromisoformat(said)
    assert abs(datetime.now(UTC).replace(tzinfo=None) - now) < timedelta(minutes=5), (
        f"the database calls {now:%H:%M} now, which is {datetime.now(UTC):%H:%M} UTC"
    )


@check("portability.time-zone")
def test_time_zone(trial: Trial, testbed_backend: Backend) -> None:
    assert_now_is_utc(trial, testbed_backend)


@check("portability.time-zone-of-the-server")
def test_time_zone_of_the_server(own_trial: Trial, testbed_backend: Backend) -> None:
    assert_now_is_utc(own_trial, testbed_backend)


# --- What each backend does -------------------------------------------------------------------


@check("portability.any-length")
def test_any_length(engine: Engine, testbed_backend: Backend) -> None:
    try:
        CreateTable(Table("t", MetaData(), Column("c", String()))).compile(dialect=engine.dialect)
    except CompileError:
        assert not ANY_LENGTH[testbed_backend.name]
    else:
        assert ANY_LENGTH[testbed_backend.name]


@check("portability.case")
def test_case(engine: Engine, testbed_backend: Backend) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Item).values(name="abc"))
    candidates = ["abc", "ABC", "\xe1bc"]
    with engine.connect() as connection:
        equal = [name for name in candidates if connection.scalar(select(Item.id).where(Item.name == name))]

    assert equal == SAME_AS_ABC[testbed_backend.name]
    refused = [name for name in candidates if is_refused(engine, insert(Item).values(name=name))]
    assert refused == SAME_AS_ABC[testbed_backend.name]


@check("portability.fractions")
def test_fractions(engine: Engine, testbed_backend: Backend) -> None:
    moment = datetime(2024, 2, 29, 12, 30, 15, 619950)  # noqa: DTZ001 - the column has no time zone
    row = stored(engine, moment=moment, precise=moment)

    # MySQL rounds to the next second.
    assert row.moment is not None
    assert row.moment.microsecond == MICROSECOND[testbed_backend.name]
    assert row.precise == moment


@check("portability.aware-times")
def test_aware_times(engine: Engine, testbed_backend: Backend) -> None:
    there = datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone(timedelta(hours=-8)))
    back = stored(engine, aware=there).aware

    assert (back == there) == KEEPS_THE_INSTANT[testbed_backend.name]
    assert KEEPS_THE_INSTANT[testbed_backend.name] or back == there.replace(tzinfo=None)


@check("portability.generated-key")
def test_generated_key(engine: Engine, testbed_backend: Backend) -> None:
    with engine.begin() as connection:
        key = connection.execute(
            insert(Item.metadata.tables["testbed_item"]).values(name="new")
        ).inserted_primary_key

        assert key is not None
        assert key[0] == connection.scalar(select(Item.id))
        cursor = connection.exec_driver_sql("INSERT INTO testbed_item (name) VALUES ('newer')")
        second = connection.scalar(select(func.max(Item.id)))
    assert (cursor.lastrowid == second) == LASTROWID[testbed_backend.name]


@check("portability.null-order")
def test_null_order(engine: Engine, testbed_backend: Backend) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Value), [{"number": 1}, {"number": None}, {"number": 2}])
        found = connection.scalars(select(Value.number).order_by(Value.number)).all()

    assert found == ([1, 2, None] if NULL_COMES_LAST[testbed_backend.name] else [None, 1, 2])
    explicit = select(Value.number).order_by(Value.number.nulls_last())
    assert is_refused(engine, explicit) != NULLS_LAST[testbed_backend.name]


@check("portability.json-null")
def test_json_null(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Value), [{"document": None}])
        connection.execute(insert(Value).values(document=null()))

        assert connection.scalar(select(func.count()).where(Value.document.is_(null()))) == 1
        assert connection.scalars(select(Value.document)).all() == [None, None]


@check("portability.uuid")
def test_uuid(engine: Engine, testbed_backend: Backend) -> None:
    assert stored(engine, universal=KEY).universal == KEY
    with engine.connect() as connection:
        assert (
            str(connection.exec_driver_sql("SELECT universal FROM testbed_value").scalar())
            == UUID_STORED[testbed_backend.name]
        )


@check("portability.large-binary")
def test_large_binary(engine: Engine, testbed_backend: Backend) -> None:
    blob = b"x" * 70_000

    assert is_refused(engine, insert(Value).values(blob=blob)) == LARGE_IS_REFUSED[testbed_backend.name]
    assert LARGE_IS_REFUSED[testbed_backend.name] or stored(engine, blob=blob).blob == blob


@check("portability.too-large")
def test_too_large(engine: Engine, testbed_backend: Backend) -> None:
    statement = insert(Value).values(amount=Decimal("123456.78"))

    assert is_refused(engine, statement) == TOO_LARGE_IS_REFUSED[testbed_backend.name]

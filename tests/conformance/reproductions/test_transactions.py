"""A transaction contains the writes and reads of its request, and no others."""

from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError

from plain import Item, make, names, of, outside, session, write


def test_savepoint_released(uri: str) -> None:
    with make(uri).app_context():
        with session().begin_nested():
            session().add(Item(name="nested"))
        session().rollback()

    assert names(uri) == [], "a row of a released savepoint is committed despite the rollback"


def test_fresh_reads(uri: str) -> None:
    app = make(uri)
    cache = []

    @app.get("/reproduction/name")
    def name() -> str:
        cache.append(session().get(Item, 1))
        return str(cache[-1].name)

    outside(uri, "INSERT INTO item (id, name) VALUES (1, 'old')")
    app.test_client().get("/reproduction/name")
    outside(uri, "UPDATE item SET name = 'new'")

    found = app.test_client().get("/reproduction/name").text
    assert found == "new", f"the second request reads {found!r} where 'new' was committed before it"


def test_failed_wait(uri: str) -> None:
    app = make(uri)
    limit = {"postgresql": "SET lock_timeout = '200ms'", "mysql": "SET innodb_lock_wait_timeout = 1"}

    @app.get("/half")
    def half() -> str:
        write("before")
        session().execute(text(of(uri, limit)))
        try:
            session().execute(text("UPDATE item SET name = 'waited'"))
        except DBAPIError:
            write("after")
            session().commit()
        return ""

    outside(uri, "INSERT INTO item (id, name) VALUES (91, 'old')")
    with create_engine(uri).connect() as holder:
        holder.execute(text("UPDATE item SET name = 'held' WHERE id = 91"))
        app.test_client().get("/half")

    found = names(uri)
    assert found == ["old"], f"after a lock wait timeout that the view swallows, {found} are committed"


def test_reader_lets_go(uri: str) -> None:
    app = make(uri)
    app.add_url_rule("/reproduction/read", view_func=lambda: str(session().scalars(select(Item.id)).all()))
    app.test_client().get("/reproduction/read")

    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    short_timeout = {"postgresql": "SET lock_timeout = '200ms'", "mysql": "SET lock_wait_timeout = 1"}
    with engine.connect() as connection:
        connection.execute(text(of(uri, short_timeout)))
        try:
            connection.execute(text("DROP TABLE part"))
            connection.execute(text("DROP TABLE item"))
            refusal = ""
        except DBAPIError:
            refusal = "a table cannot be dropped after the request that read it"
    assert refusal == "", refusal


def test_raw_connection_is_reset(uri: str) -> None:
    app = make(uri)
    with app.app_context():
        connection = session().get_bind().raw_connection()
    connection.cursor().execute("INSERT INTO item (name) VALUES ('left')")
    connection.close()

    found = names(uri)
    assert found == [], f"a connection that went back to the pool inside a transaction committed {found}"

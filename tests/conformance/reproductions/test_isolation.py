"""Rows and sessions of one test must not reach the next test."""

import gc
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import DetachedInstanceError

from plain import Item, add, make, of, outside, seen, session
from test_faults import SESSIONS, end_sessions


def test_nothing_for_the_collector(uri: str) -> None:
    app = make(uri)
    app.add_url_rule("/reproduction/seen", view_func=seen)
    gc.disable()
    app.test_client().get("/reproduction/seen")
    with app.app_context():
        session().get_bind().dispose()

    left = still_open(uri)
    assert left == 0, f"{left} connection is still open after the engine was disposed of"


def still_open(uri: str) -> int:
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        files = [descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()]
        return int(Path(str(url.database)).resolve() in files)
    return len(outside(uri, of(uri, SESSIONS)))


def test_committed_rows_go(uri: str) -> None:
    app = make(uri)
    met = []

    @app.get("/reproduction/there")
    def there() -> str:
        met.append(session().get(Item, 1))
        return "nothing" if met[-1] is None else str(met[-1].name)

    outside(uri, "INSERT INTO item (id, name) VALUES (1, 'committed')")
    app.test_client().get("/reproduction/there")
    outside(uri, "DELETE FROM item")

    found = app.test_client().get("/reproduction/there").text
    assert found == "nothing", f"a request still finds {found!r}, which the clean-up has deleted"


def test_objects_of_fixtures(uri: str) -> None:
    app = make(uri)
    app.add_url_rule("/reproduction/seen", view_func=seen)
    with app.app_context():
        item = Item(name="of a fixture")
        session().add(item)
        session().commit()
        app.test_client().get("/reproduction/seen")
        try:
            found = item.name
        except DetachedInstanceError as error:
            found = type(error).__name__

    assert found == "of a fixture", f"after a request, the fixture's object cannot be read: {found}"


def test_keys_start_again(uri: str) -> None:
    app = make(uri)
    add(app, "of the previous test")
    app.add_url_rule("/reproduction/seen", view_func=seen)
    app.test_client().get("/reproduction/seen")
    if make_url(uri).get_backend_name() != "sqlite":
        # The clean-up of a test ends open connections, which could block it.
        end_sessions(uri)
    try:
        make(uri)
        failed = "nothing"
    except DBAPIError as error:
        failed = type(error).__name__

    assert failed == "nothing", f"making the app of the next test fails: {failed}"

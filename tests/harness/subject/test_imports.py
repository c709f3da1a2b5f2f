"""Apps whose modules read the URI, or make the app, when they are imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import engine_of
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES
from tests.harness.shops import BINDING, ONE_APP
from tests.harness.subject.resolving import Write, resolved, works_on

ON_IMPORT = """
    import os

    app = made(os.environ.get("DATABASE_URL", "sqlite:///testbed_other.db"))
"""
AFTER_IMPORT = """
    app = Flask("shop")
    app.config["DATABASE_URI"] = "sqlite:///testbed_other.db"
    db_session = scoped_session(lambda: Session(create_engine(app.config["DATABASE_URI"])))
    app.teardown_appcontext(lambda _: db_session.remove())
"""
CONNECTS_ON_IMPORT = """
    import os

    uri = os.environ.get("DATABASE_URL", "sqlite:///of_its_own.db")
    create_engine(uri).connect().close()
"""


@pytest.mark.parametrize(
    ("source", "how"),
    [(ON_IMPORT, "as it is made on import"), (AFTER_IMPORT, "configured after its import")],
)
def test_one_app_is_taken_as_it_is(write: Write, uri: str, other_uri: str, source: str, how: str) -> None:
    write(BINDING, source)

    subject = resolved(uri, "shop:app")

    assert f"one app, {how}" in subject.notes[-1]
    assert not subject.makes_several_apps
    assert works_on(subject, uri)
    assert works_on(subject, other_uri)


def test_one_app_is_on_one_database(write: Write, uri: str, other_uri: str) -> None:
    write(ONE_APP)
    maker = AppMaker(resolved(uri, "shop:app"))
    maker.start(uri)
    app = maker.make(uri)

    assert maker.make(uri) is app
    with pytest.raises(SubjectError, match="is one app, and it is on another database already"):
        maker.make(other_uri)
    engine_of(maker.subject, app).dispose()
    maker.close()


def test_a_new_import_of_an_app_leaves_flask_alone(write: Write, uri: str, other_uri: str) -> None:
    flask_app = sys.modules["flask.app"]
    write(ONE_APP)

    assert works_on(resolved(uri, "shop:app"), other_uri)
    assert sys.modules["flask.app"] is flask_app


def test_the_variable_that_the_import_misses_is_found(write: Write, uri: str) -> None:
    write(BINDING, 'import os\nuri = os.environ["DATABASE_URL"]', "def create_app():\n    return made(uri)")

    subject = resolved(uri, "shop")

    assert subject.uri_env == "DATABASE_URL"
    assert works_on(subject, uri)


@pytest.mark.parametrize("made", ["app = made(uri)", "def create_app(config):\n    return made(uri)"])
def test_an_import_that_connects_gets_the_uri(write: Write, uri: str, other_uri: str, made: str) -> None:
    write(BINDING, CONNECTS_ON_IMPORT, made)

    subject = resolved(uri, "shop")

    assert subject.by_environment
    assert works_on(subject, uri)
    assert works_on(subject, other_uri)
    assert not Path("of_its_own.db").exists()


def test_modules_beside_the_app_are_imported_anew(write: Write, uri: str, other_uri: str) -> None:
    write("import os\nuri = os.environ.get('DATABASE_URL', 'sqlite:///testbed_other.db')", name="settings.py")
    write(
        BINDING,
        "import settings\n\ndef create_app():\n    return made(settings.uri)",
        name="shop/__init__.py",
    )

    assert works_on(resolved(uri, "shop"), other_uri)


@pytest.mark.parametrize("parameter", ["config=None", "config: dict = None", ""])
def test_modules_that_cannot_be_imported_twice_are_kept(
    write: Write, uri: str, other_uri: str, parameter: str
) -> None:
    write(
        BINDING,
        f"""
        import sys
        import os

        assert not hasattr(sys, "shop_is_there"), "imported twice"
        sys.shop_is_there = True

        def create_app({parameter}):
            return made(os.environ.get("DATABASE_URL", "sqlite:///testbed_other.db"))
        """,
    )

    try:
        subject = resolved(uri, "shop")

        assert subject.imports_once
        assert works_on(subject, other_uri)
    finally:
        del sys.shop_is_there  # type: ignore[attr-defined]


def test_an_import_that_failed_once_is_repeated(
    write: Write, uri: str, other_uri: str, tmp_path: Path
) -> None:
    write(ONE_APP, "app.extensions['engine'].connect().close()")
    subject = resolved(uri, "shop")
    maker, nowhere = AppMaker(subject), f"sqlite:///{tmp_path}/nowhere/testbed_ab.db"
    maker.start(nowhere)
    with pytest.raises(SubjectError, match="unable to open"):
        maker.make(nowhere)
    maker.close()

    assert works_on(subject, other_uri)


@pytest.mark.parametrize("session", ["", "shop:nothing"])
def test_the_environment_is_afterwards_as_before(write: Write, uri: str, session: str) -> None:
    write(ONE_APP, "def nothing():\n    pass")

    try:
        works_on(resolved(uri, "shop:app", session), uri)
    except SubjectError:
        assert session

    assert not set(URI_VARIABLES) & os.environ.keys()

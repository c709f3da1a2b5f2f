"""Apps whose modules read the URI, or make the app, when they are imported."""

import os
import sys
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import engine_of
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES
from tests.harness.shops import BINDING, ONE_APP
from tests.harness.subject.resolving import Write, resolved, works_on

OTHER = "sqlite:///testbed_other.db"
URI = "import os\nuri = os.environ.get('DATABASE_URL', '{}')\n"
AFTER_IMPORT = f"""
    app = Flask("shop")
    app.config["DATABASE_URI"] = "{OTHER}"
    db_session = scoped_session(lambda: Session(create_engine(app.config["DATABASE_URI"])))
    app.teardown_appcontext(lambda _: db_session.remove())
"""
CONNECTS = URI.format("sqlite:///of_its_own.db") + "create_engine(uri).connect().close()\n"
ONCE = "import os, sys; assert not sys.shop_is_there; sys.shop_is_there = True\n"


def factory(parameter: str = "", uri: str = "uri") -> str:
    return f"def create_app({parameter}):\n    return made({uri})\n"


def once(parameter: str) -> str:
    return ONCE + factory(parameter, f"os.environ.get('DATABASE_URL', '{OTHER}')")


@pytest.mark.parametrize(
    ("source", "how"),
    [
        (URI.format(OTHER) + "app = made(uri)", {"makes_several_apps": False}),
        (AFTER_IMPORT, {"makes_several_apps": False}),
        ("import os\nuri = os.environ['DATABASE_URL']\n" + factory(), {"uri_env": "DATABASE_URL"}),
        (CONNECTS + "app = made(uri)", {"by_environment": True}),
        (CONNECTS + factory("config"), {"by_environment": True}),
        ("import settings\n" + factory(uri="settings.uri"), {"by_environment": True}),
        (once("config=None"), {"imports_once": True}),
        (once("config: dict = None"), {"imports_once": True}),
        (once(""), {"imports_once": True}),
    ],
)
def test_the_app_is_made_on_the_database_it_is_given(  # noqa: PLR0913, PLR0917 - pytest passes them by name
    write: Write,
    uri: str,
    other_uri: str,
    source: str,
    how: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "shop_is_there", False, raising=False)
    flask_app = sys.modules["flask.app"]
    write(URI.format(OTHER), name="settings.py")
    write(BINDING, source)

    subject = resolved(uri, "shop")

    assert {name: getattr(subject, name) for name in how} == how
    assert works_on(subject, *([other_uri] if subject.imports_once else [uri, other_uri]))
    assert sys.modules["flask.app"] is flask_app
    assert not Path("of_its_own.db").exists()


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


def test_an_import_that_failed_once_is_repeated(
    write: Write, uri: str, other_uri: str, tmp_path: Path
) -> None:
    write(ONE_APP, "app.extensions['engine'].connect().close()")
    subject = resolved(uri, "shop")
    guard.allow_file(tmp_path / "nowhere" / "testbed_ab.db")
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

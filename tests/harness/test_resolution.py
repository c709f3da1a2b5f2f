"""What of an app need not be told: where it is, how it is made, where it keeps its session."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.resolve import resolve
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BINDING = """
    from flask import Flask, current_app, g
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session, scoped_session, sessionmaker

    db_session = scoped_session(lambda: Session(current_app.extensions["engine"]))

    def made(uri):
        app = Flask("shop")
        app.extensions["engine"] = create_engine(uri)
        app.teardown_appcontext(lambda _: db_session.remove())
        return app
"""
FACTORIES = {
    "with a mapping": """
        def create_app(config=None):
            app = Flask("shop")
            app.config.from_mapping(config)
            return made(app.config["DATABASE_URI"])
    """,
    "with database_url=": """
        def create_app(debug=False, *, database_url):
            return made(database_url)
    """,
    "with keyword arguments": """
        def create_app(**settings):
            return made(settings["SQLALCHEMY_DATABASE_URI"])
    """,
    "with a config class": """
        class Config:
            SECRET = "s"
            DATABASE_URL = "sqlite:///testbed_other.db"

        def create_app(config_class=Config):
            assert config_class.SECRET == "s"
            app = Flask("shop")
            app.config.from_object(config_class)
            return made(app.config["DATABASE_URL"])
    """,
    "with the name of a config class": """
        def create_app(config: str = "nowhere"):
            app = Flask("shop")
            app.config.from_object(config)
            return made(app.config["DATABASE_URI"])
    """,
    "with the name of a config file": """
        def create_app(settings: str = "shop.cfg"):
            app = Flask("shop")
            app.config.from_pyfile(settings)
            return made(app.config["DATABASE_URI"])
    """,
    "with nothing but the environment": """
        import os

        def create_app():
            return made(os.environ["DATABASE_URL"])
    """,
    "with 'testing'": """
        import os

        class Testing:
            DATABASE_URI = os.environ.get("DATABASE_URL", "sqlite:///testbed_other.db")

        def create_app(name):
            app = Flask("shop")
            app.config.from_object({"testing": Testing}[name])
            return made(app.config["DATABASE_URI"])
    """,
}
GLOBALS = {
    "as it is made on import": """
        import os

        app = made(os.environ.get("DATABASE_URL", "sqlite:///testbed_other.db"))
    """,
    "configured after its import": """
        app = Flask("shop")
        app.config["DATABASE_URI"] = "sqlite:///testbed_other.db"
        db_session = scoped_session(lambda: Session(create_engine(app.config["DATABASE_URI"])))
        app.teardown_appcontext(lambda _: db_session.remove())
    """,
}
EXTENSIONS = {
    "flask_sqlalchemy": """
        from flask import Flask
        from flask_sqlalchemy import SQLAlchemy
        from sqlalchemy.orm import DeclarativeBase

        class Base(DeclarativeBase):
            pass

        db = SQLAlchemy(model_class=Base)

        def create_app(config):
            app = Flask("shop")
            app.config.from_mapping(config)
            db.init_app(app)
            return app
    """,
    "flask_sqlalchemy_lite": """
        from flask import Flask
        from flask_sqlalchemy_lite import SQLAlchemy

        db = SQLAlchemy()

        def create_app(config):
            app = Flask("shop")
            app.config.from_mapping(config)
            db.init_app(app)
            return app
    """,
}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'testbed_0123456789ab.db'}"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write a module of a project, which is the working directory; none of it is left imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("FLASK_APP", *URI_VARIABLES):
        monkeypatch.setenv(name, "")  # So that it is put back in the end, whoever sets it.
        monkeypatch.delenv(name)
    before = set(sys.modules)

    def write(*parts: str, name: str = "shop.py") -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(textwrap.dedent(part) for part in parts))
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def resolved(uri: str, app: str = "", session: str = "", uri_key: str = "", uri_env: str = "") -> Subject:
    subject = Subject(app, session, uri_key, uri_env)
    resolve(subject, uri)
    return subject


def answers(subject: Subject, uri: str) -> bool:
    """An app of it, in another process perhaps, is on that database."""
    again = Subject.of(subject.told())
    again.start(uri)
    app = again.make(uri)
    with app.app_context():
        answer = again.session.scalar(text("SELECT 1"))
        again.session.close()
    again.engine(app).dispose()
    again.end()
    return bool(answer == 1)


@pytest.mark.parametrize("way", FACTORIES)
def test_each_way_to_make_an_app_is_found(write: Callable[..., None], uri: str, way: str) -> None:
    write(BINDING, FACTORIES[way])

    subject = resolved(uri, "shop")

    assert any(way in note for note in subject.notes), subject.notes
    assert subject.session_path == "shop:db_session"
    assert subject.makes_several_apps
    assert answers(subject, uri)
    assert answers(subject, uri.replace("ab.db", "ac.db"))


@pytest.mark.parametrize("way", GLOBALS)
def test_one_app_is_taken_as_it_is(write: Callable[..., None], uri: str, way: str) -> None:
    write(BINDING, GLOBALS[way])

    subject = resolved(uri, "shop:app")

    assert f"one app, {way}" in subject.notes[-1]
    assert not subject.makes_several_apps
    assert answers(subject, uri)
    assert answers(subject, uri.replace("ab.db", "ac.db"))


def test_one_app_is_on_one_database(write: Callable[..., None], uri: str) -> None:
    write(BINDING, GLOBALS["as it is made on import"])
    subject = resolved(uri, "shop:app")
    subject.start(uri)
    app = subject.make(uri)

    assert subject.make(uri) is app
    with pytest.raises(SubjectError, match="one app, which is on another database already"):
        subject.make(uri.replace("ab.db", "ac.db"))
    subject.engine(app).dispose()
    subject.end()


def test_a_teardown_that_raises_is_left_to_the_checks(write: Callable[..., None], uri: str) -> None:
    write(
        BINDING,
        """
        def create_app(config):
            app = made(config["DATABASE_URI"])
            app.teardown_appcontext(lambda _: g.pop("nothing"))
            return app
        """,
    )

    assert resolved(uri, "shop").app_path == "shop:create_app"


@pytest.mark.parametrize("package", EXTENSIONS)
def test_an_extension_keeps_the_session(write: Callable[..., None], uri: str, package: str) -> None:
    write(EXTENSIONS[package])

    subject = resolved(uri, "shop")

    assert "session in app.extensions['sqlalchemy']" in subject.notes
    assert answers(subject, uri)


@pytest.mark.parametrize("name", ["wsgi.py", "app.py", "app/__init__.py"])
def test_an_app_is_found_where_flask_finds_it(write: Callable[..., None], uri: str, name: str) -> None:
    write(BINDING, FACTORIES["with a mapping"], name=name)

    subject = resolved(uri)

    assert subject.app_path == f"{name.partition('.')[0].partition('/')[0]}:create_app"
    assert "where flask looks too" in subject.notes[0]


@pytest.mark.parametrize("told", ["shop", "shop:create_app", "shop.py", "shop.py:create_app"])
def test_flask_app_is_heard(
    write: Callable[..., None], uri: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(BINDING, FACTORIES["with a mapping"])
    monkeypatch.setenv("FLASK_APP", told)

    assert resolved(uri).app_path == "shop:create_app"


def test_a_factory_is_preferred_to_an_app(write: Callable[..., None], uri: str) -> None:
    write(BINDING, FACTORIES["with a mapping"], 'app = create_app({"DATABASE_URI": "sqlite://"})')

    assert resolved(uri, "shop").app_path == "shop:create_app"


def test_a_factory_is_called_as_written(write: Callable[..., None], uri: str) -> None:
    write(
        BINDING,
        """
        import os

        def create_app(name, debug):
            assert (name, debug) == ("testing", True)
            return made(os.environ["SHOP_DATABASE"])
        """,
    )

    subject = resolved(uri, "shop:create_app('testing', True)", uri_env="SHOP_DATABASE")

    assert answers(subject, uri)
    subject.end()
    assert "SHOP_DATABASE" not in os.environ


def test_a_variable_that_is_looked_up_on_import_is_found(write: Callable[..., None], uri: str) -> None:
    write(BINDING, 'import os\nuri = os.environ["DATABASE_URL"]', "def create_app():\n    return made(uri)")

    subject = resolved(uri, "shop")

    assert subject.uri_env == "DATABASE_URL"
    assert answers(subject, uri)


@pytest.mark.parametrize("made", ["app = made(uri)", "def create_app(config):\n    return made(uri)"])
def test_a_variable_that_is_needed_on_import_is_found(
    write: Callable[..., None], uri: str, made: str
) -> None:
    default = "sqlite:///of_its_own.db"
    write(
        BINDING,
        f'import os\nuri = os.environ.get("DATABASE_URL", "{default}")\ncreate_engine(uri).connect().close()',
        made,
    )

    subject = resolved(uri, "shop")

    assert subject.by_environment
    assert answers(subject, uri)
    assert answers(subject, uri.replace("ab.db", "ac.db"))
    assert not Path("of_its_own.db").exists()


def test_what_a_package_keeps_beside_itself_is_imported_anew(write: Callable[..., None], uri: str) -> None:
    write("import os\nuri = os.environ.get('DATABASE_URL', 'sqlite:///testbed_other.db')", name="settings.py")
    write(
        BINDING,
        "import settings\n\ndef create_app():\n    return made(settings.uri)",
        name="shop/__init__.py",
    )

    assert answers(resolved(uri, "shop"), uri.replace("ab.db", "ac.db"))


def test_a_session_may_be_asked_for(write: Callable[..., None], uri: str) -> None:
    write(
        BINDING,
        FACTORIES["with a mapping"],
        """
        def get_session():
            if "session" not in g:
                g.session = Session(current_app.extensions["engine"])
            return g.session
        """,
    )

    assert answers(resolved(uri, "shop", "shop:get_session"), uri)


@pytest.mark.parametrize(
    ("session", "complaint"),
    [
        ("shop:make_session", r"returned another one at each call"),
        ("shop:maker", r"returned another one at each call"),
        ("shop:nothing", r"returned a NoneType"),
        ("shop:Session", r"is no session: a Session has no get_bind and execute"),
        ("shop:BINDINGS", r"has no 'BINDINGS'"),
        ("shop.db", r"is not of the form module:attribute"),
        ("", r"there are several: shop:db_session, shop:other_session\. Name it: --testbed-session"),
    ],
)
def test_what_is_no_session_is_refused(
    write: Callable[..., None], uri: str, session: str, complaint: str
) -> None:
    write(
        BINDING,
        FACTORIES["with a mapping"],
        """
        maker = sessionmaker()
        other_session = scoped_session(maker)

        def make_session():
            return Session(current_app.extensions["engine"])

        def nothing():
            pass
        """,
    )

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "shop", session)


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("", r"No FLASK_APP is set, and neither wsgi\.py nor app\.py is in "),
        ("nowhere", r"importing 'nowhere' raised ModuleNotFoundError"),
        ("nowhere.py", r"there is no file 'nowhere\.py'"),
        ("shop:nothing", r"'shop' has no 'nothing'"),
        ("shop:create app", r"is not of the form module:attribute"),
        ("shop:create_app(name)", r"only plain values may stand between the parentheses"),
        ("shop:number", r"is no factory and no app"),
        ("shop:wrong", r"is no factory of Flask apps: it returned a int"),
        ("shop:leaves", r"raised SystemExit"),
        ("shop:demanding", r"takes arguments that nobody can guess"),
        ("empty", r"has no create_app or make_app, and no app of its own"),
        ("broken", r"importing 'broken' raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_app_is_refused(write: Callable[..., None], uri: str, app: str, complaint: str) -> None:
    write(
        """
        import sys

        number = 1

        def wrong():
            return 1

        def leaves():
            sys.exit("no configuration")

        def demanding(one, two):
            pass
        """
    )
    write("", name="empty.py")
    write("1 / 0", name="broken.py")

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, app)


def test_all_that_was_tried_is_told(write: Callable[..., None], uri: str) -> None:
    write(BINDING, "def create_app(config=None):\n    return made('sqlite:///testbed_other.db')")

    with pytest.raises(SubjectError) as told:
        resolved(uri, "shop")

    first, second, third, advice = str(told.value).splitlines()
    assert "was made in 5 ways, and none led to the database that it was given:" in first
    configured = "with a mapping, with a config class, with the name of a config class, with the name of a"
    assert second.startswith(f"  {configured} config file: is bound to sqlite:///testbed_other.db, not to")
    assert third.startswith(
        "  with nothing but the environment: is bound to sqlite:///testbed_other.db, not to"
    )
    assert "--testbed-uri-key KEY, or --testbed-uri-env VARIABLE" in advice
    assert not set(URI_VARIABLES) & os.environ.keys()


def test_a_module_that_can_be_imported_only_once_is_not_imported_twice(
    write: Callable[..., None], uri: str
) -> None:
    write(
        BINDING,
        """
        import sys
        import os

        assert not hasattr(sys, "shop_is_there"), "imported twice"
        sys.shop_is_there = True

        def create_app(config=None):
            return made(os.environ.get("DATABASE_URL", "sqlite:///testbed_other.db"))
        """,
    )

    try:
        subject = resolved(uri, "shop")

        assert subject.imported_once
        assert answers(subject, uri.replace("ab.db", "ac.db"))
    finally:
        del sys.shop_is_there  # type: ignore[attr-defined]


def test_a_module_that_needs_its_database_is_imported_anew_once_that_is_there(
    write: Callable[..., None], uri: str, tmp_path: Path
) -> None:
    write(
        BINDING,
        """
        import os

        app = made(os.environ["DATABASE_URL"])
        app.extensions["engine"].connect().close()
        """,
    )
    subject = resolved(uri, "shop")
    nowhere = f"sqlite:///{tmp_path}/nowhere/testbed_ab.db"
    subject.start(nowhere)
    with pytest.raises(SubjectError, match="unable to open"):
        subject.make(nowhere)

    subject.start(uri.replace("ab.db", "ac.db"))
    assert answers(subject, uri.replace("ab.db", "ac.db"))


@pytest.mark.parametrize("key", ["SHOP_DATABASE", "SHOP.DATABASES.main"])
def test_a_key_of_its_own_is_told(write: Callable[..., None], uri: str, key: str) -> None:
    path = "".join(f"[{part!r}]" for part in key.split("."))
    write(BINDING, f"def create_app(config):\n    return made(config{path})")

    assert answers(resolved(uri, "shop", uri_key=key), uri)


def test_what_an_attempt_leaves_does_not_decide_the_next(write: Callable[..., None], uri: str) -> None:
    write(
        BINDING,
        """
        apps = []

        def create_app(config=None):
            if not apps:
                apps.append(made(getattr(config, "DATABASE_URI", "sqlite:///testbed_other.db")))
            return apps[0]
        """,
    )

    assert "with a config class" in resolved(uri, "shop").notes[-1]


@pytest.mark.parametrize(
    ("parameter", "kinds"),
    [
        ("config=Config", ["type", ""]),
        ("config='shop.cfg'", ["str", "str", ""]),
        ("config={}", ["dict", ""]),
        ("config: dict[str, str] | None = None", ["dict", ""]),
        ("config: Config | None = None", ["type", ""]),
        ("config: str", ["str"] * 6),
        ("debug=False", [""]),
        ("", [""]),
    ],
)
def test_the_signature_says_what_is_tried(
    write: Callable[..., None], uri: str, tmp_path: Path, parameter: str, kinds: list[str]
) -> None:
    write(
        BINDING,
        f"""
        class Config:
            pass

        def create_app({parameter}):
            given = locals().get("config")
            default = given in (None, "shop.cfg", {{}}, Config)
            with open("tried", "a") as file:
                file.write(("" if default else type(given).__name__) + "\\n")
            raise RuntimeError
        """,
    )

    with pytest.raises(SubjectError):
        resolved(uri, "shop")

    assert (tmp_path / "tried").read_text().splitlines() == kinds

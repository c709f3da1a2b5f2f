"""Apps with further engines: each gets a database of the run."""

import contextlib
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binds import further_engines
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.subject import Subject
from tests.harness.subject.resolving import Write, resolved

BINDS = """
    import os
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()

    class Visit(db.Model):
        __bind_key__ = "audit"
        id = db.Column(db.Integer, primary_key=True)

    class Own:
        SQLALCHEMY_DATABASE_URI = "sqlite:///shop.db"
        SQLALCHEMY_BINDS = {{"audit": {audit}}}

    def made(configure):
        app = Flask("shop")
        app.config.from_object(Own)
        configure(app.config)
        db.init_app(app)
        return app
"""
AUDIT = '"sqlite:///audit.db"'
LITE = """
    from flask import Flask
    from flask_sqlalchemy_lite import SQLAlchemy

    db = SQLAlchemy()

    def create_app(config=None):
        app = Flask("shop")
        app.config["SQLALCHEMY_ENGINES"] = {"default": "sqlite:///shop.db", "audit": "sqlite:///audit.db"}
        app.config.update(config or {})
        db.init_app(app)
"""
FACTORIES = {
    "mapping": "def create_app(config=None):\n    return made(lambda own: own.update(config or {}))",
    "keywords": "def create_app(**settings):\n    return made(lambda own: own.update(settings))",
    "class": "def create_app(config=Own):\n    return made(lambda own: own.from_object(config))",
    "name": 'def create_app(config="shop.Own"):\n    return made(lambda own: own.from_object(config))',
    "file": 'def create_app(config="own.cfg"):\n    return made(lambda own: own.from_pyfile(config))',
    "TOML file": "import tomllib\ndef create_app(config='own.toml'):\n"
    "    return made(lambda own: own.from_file(config, tomllib.load, text=False))",
    "environment": "def create_app():\n    return made(lambda own: own.from_prefixed_env())",
    "first": "def create_app():\n"
    "    return made(lambda own: own.update(SQLALCHEMY_DATABASE_URI=os.environ['DATABASE_URL']))",
    "connects": "def create_app(config=None):\n    app = made(lambda own: own.update(config or {}))\n"
    "    with app.app_context():\n        db.create_all()\n    return app",
}


def engines(subject: Subject, uri: str, bind: str) -> dict[str, str | None]:
    """Return the databases of the further engines, when the binds are on the database of `bind`."""
    with contextlib.closing(AppMaker(Subject.from_dict(subject.as_dict()))) as maker:
        maker.start(uri, dict.fromkeys(subject.binds, bind))
        app = maker.make(uri)
        found = {name: engine.url.database for name, engine in further_engines(app).items()}
        for engine in further_engines(app).values():
            engine.dispose()
        return found


@pytest.mark.parametrize("factory", [name for name in FACTORIES if name != "first"])
def test_a_bind_gets_a_database_of_the_run(write: Write, uri: str, other_uri: str, factory: str) -> None:
    write(BINDS.format(audit=AUDIT), FACTORIES[factory])

    subject = resolved(uri, "shop")

    assert subject.binds == {"audit": {}}
    assert engines(subject, uri, other_uri) == {"audit": other_uri.removeprefix("sqlite:///")}
    assert not list(Path().rglob("audit.db"))


def test_an_engine_of_flask_sqlalchemy_lite_does_too(write: Write, uri: str, other_uri: str) -> None:
    write(f"{LITE}        return app")

    subject = resolved(uri, "shop")

    assert engines(subject, uri, other_uri) == {"audit": other_uri.removeprefix("sqlite:///")}


def test_an_engine_that_the_configuration_hides_is_found_when_the_factory_uses_it(
    write: Write, uri: str, other_uri: str
) -> None:
    connects = "        with app.app_context():\n            db.get_engine('audit').connect().close()\n"
    write(LITE + connects + "        return app")

    subject = resolved(uri, "shop")

    assert engines(subject, uri, other_uri) == {"audit": other_uri.removeprefix("sqlite:///")}


def test_the_options_of_a_bind_are_kept(write: Write, uri: str, other_uri: str) -> None:
    write(BINDS.format(audit='{"url": "sqlite:///audit.db", "pool_size": 3}'), FACTORIES["mapping"])

    subject = resolved(uri, "shop")

    assert subject.binds == {"audit": {"pool_size": 3}}
    assert engines(subject, uri, other_uri) == {"audit": other_uri.removeprefix("sqlite:///")}


@pytest.mark.parametrize(
    ("audit", "factory"),
    [
        ("'sqlite://'", "mapping"),
        ("os.environ['DATABASE_URL']", "first"),
    ],
)
def test_a_bind_in_memory_or_on_the_first_database_needs_no_other(
    write: Write, uri: str, audit: str, factory: str
) -> None:
    write(BINDS.format(audit=audit), FACTORIES[factory])

    assert resolved(uri, "shop", uri_env="DATABASE_URL" if "environ" in audit else "").binds == {}


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("config=None", "config or {}, SQLALCHEMY_BINDS=Own.SQLALCHEMY_BINDS"),
        ("config=None, *, connects=True", "config or {}, SQLALCHEMY_BINDS=Own.SQLALCHEMY_BINDS"),
        ("database_uri", "SQLALCHEMY_DATABASE_URI=database_uri"),
    ],
)
def test_a_bind_that_cannot_be_replaced_is_told_in_one_sentence(
    write: Write, uri: str, parameter: str, values: str
) -> None:
    connects = "    with app.app_context():\n        db.create_all()\n" if "connects" in parameter else ""
    made = f"    app = made(lambda own: own.update({values}))\n{connects}    return app"
    factory = f"def create_app({parameter}):\n{made}"
    write(BINDS.format(audit=AUDIT), factory)

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    (line,) = str(raised.value).splitlines()
    assert "has a further engine 'audit' on sqlite:///" in line
    assert line.endswith("have the app take SQLALCHEMY_BINDS from the configuration that it is given.")


def test_a_function_written_for_the_testbed_is_told_where_a_bind_may_be(write: Write, uri: str) -> None:
    made = "return made(lambda own: own.update(SQLALCHEMY_DATABASE_URI=uri))"
    write(BINDS.format(audit=AUDIT), f"def app_for(uri):\n    {made}")

    with pytest.raises(
        SubjectError, match=r"put it on the database of the given URI too, or on sqlite://\.$"
    ):
        resolved(uri, "shop:app_for")

"""The metadata of an app's own tables is found where its extension or its modules keep it."""

import contextlib
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy import MetaData, Table

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.metadata import metadata_of
from tests.harness.subject.resolving import Write, resolved

FLASK_SQLALCHEMY = """
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()

    class Item(db.Model):
        id = db.Column(db.Integer, primary_key=True)

    class Visit(db.Model):
        __bind_key__ = "audit"
        id = db.Column(db.Integer, primary_key=True)

    def create_app(config=None):
        app = Flask("shop")
        app.config["SQLALCHEMY_BINDS"] = {"audit": "sqlite:///audit.db"}
        app.config.update(config or {})
        db.init_app(app)
        return app
"""
LITE = """
    from flask import Flask
    from flask_sqlalchemy_lite import SQLAlchemy
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class Other(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Visit(Other):
        __tablename__ = "visit"
        id: Mapped[int] = mapped_column(primary_key=True)

    db = SQLAlchemy(session_options={"binds": {Other: "audit"}})

    def create_app(config=None):
        app = Flask("shop")
        app.config["SQLALCHEMY_ENGINES"] = {"default": "sqlite://", "audit": "sqlite:///audit.db"}
        app.config.update(config or {})
        app.config["SQLALCHEMY_ENGINES"].setdefault("audit", "sqlite://")
        db.init_app(app)
        return app
"""
PLAIN = """
    from flask import Flask
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker

    db_session = scoped_session(sessionmaker())

    def create_app(config=None):
        app = Flask("shop")
        db_session.remove()
        db_session.configure(bind=create_engine((config or {})["DATABASE_URI"]))
        app.teardown_appcontext(lambda _: db_session.remove())
        return app
"""
DECLARED = {
    "Base": """
        from sqlalchemy import Column, Integer
        from sqlalchemy.orm import declarative_base
        Base = declarative_base()
        class Item(Base):
            __tablename__ = "item"
            id = Column(Integer, primary_key=True)
    """,
    "registry": """
        from sqlalchemy import Column, Integer
        from sqlalchemy.orm import registry
        mapped = registry()
        @mapped.mapped
        class Item:
            __tablename__ = "item"
            id = Column(Integer, primary_key=True)
    """,
    "table": """
        from sqlalchemy import Column, Integer, MetaData, Table
        item = Table("item", MetaData(), Column("id", Integer, primary_key=True))
    """,
    "metadata": """
        from sqlalchemy import Column, Integer, MetaData, Table
        metadata = MetaData()
        Table("item", metadata, Column("id", Integer, primary_key=True))
    """,
}

# Ways to define a table with the registry `base` of another module.
USING = [
    "class Item(base.generate_base()): pass",
    "@base.mapped\nclass Item: pass",
    'Table("item", base.metadata)',
]


def tables(uri: str, metadata: str = "") -> dict[str, list[str]]:
    """Return the names of the tables of the app in `shop`, by engine."""
    subject = resolved(uri, "shop", metadata=metadata)
    with contextlib.closing(AppMaker(subject)) as maker:
        maker.start(uri, dict.fromkeys(subject.binds, uri))
        app = maker.make(uri)
        found = maker.metadata(app)
    return {name: sorted(table for one in several for table in one.tables) for name, several in found.items()}


@pytest.mark.parametrize("source", [FLASK_SQLALCHEMY, LITE], ids=["Flask-SQLAlchemy", "Lite"])
def test_each_engine_of_an_extension_has_its_own_tables(write: Write, uri: str, source: str) -> None:
    write(source)

    assert tables(uri) == {"": ["item"], "audit": ["visit"]}


@pytest.mark.parametrize("way", DECLARED)
def test_the_tables_of_the_app_s_modules_are_found(write: Write, uri: str, way: str) -> None:
    write(DECLARED[way], name="models.py")
    write("import models", PLAIN)

    assert tables(uri) == {"": ["item"]}


def test_an_extension_without_tables_does_not_hide_those_of_the_modules(write: Write, uri: str) -> None:
    write(DECLARED["Base"], name="models.py")
    models = FLASK_SQLALCHEMY[
        FLASK_SQLALCHEMY.index("    class Item") : FLASK_SQLALCHEMY.index("    def create")
    ]
    write("import models", FLASK_SQLALCHEMY.replace(models, ""))

    assert tables(uri) == {"": ["item"]}


def test_an_app_without_tables_has_no_metadata(write: Write, uri: str) -> None:
    write("from sqlalchemy.orm import declarative_base", "Base = declarative_base()", PLAIN)

    assert tables(uri) == {}


def test_named_metadata_without_tables_is_refused(write: Write, uri: str) -> None:
    write("from sqlalchemy import MetaData", "metadata = MetaData()", PLAIN)

    with pytest.raises(SubjectError) as error:
        tables(uri, "shop:metadata")

    assert str(error.value) == "shop:metadata has no tables: name the module that defines the models."


@pytest.mark.parametrize("declared", USING)
@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("shop.db", "shop.db:base.metadata has no tables: name the module that defines the models, such as"),
        ("shop.models", "'shop.models' has no 'base'. Name one with the tables, such as"),
    ],
)
def test_a_module_that_exists_and_defines_the_tables_is_proposed(
    write: Write, uri: str, declared: str, named: str, message: str
) -> None:
    write("from sqlalchemy.orm import registry", "base = registry()", "base.metadata", name="shop/db.py")
    write(PLAIN, name="shop/__init__.py")
    write("", name="shop/models/__init__.py")
    write("from ..db import base", "print(base)", name="shop/models/a.py")
    write("from ..db import base", declared, name="shop/models/book.py")

    with pytest.raises(SubjectError) as error:
        tables(uri, f"{named}:base.metadata")

    assert str(error.value).endswith(f"{message} shop.models.book:base.metadata.")


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("shop.models", "'shop.models' has no 'Base'. Name one with the tables, such as"),
        ("shop.db", "name the module that defines the models, such as"),
    ],
)
def test_the_metadata_of_flask_sqlalchemy_is_proposed(
    write: Write, uri: str, named: str, message: str
) -> None:
    write(
        "from flask_sqlalchemy import SQLAlchemy",
        "from sqlalchemy.orm import DeclarativeBase",
        "class Base(DeclarativeBase): pass",
        "db = SQLAlchemy(model_class=Base)",
        name="shop/db.py",
    )
    write(PLAIN, name="shop/__init__.py")
    write(
        "from shop.db import db",
        "class Item(db.Model): id = db.Column(db.Integer, primary_key=True)",
        name="shop/models.py",
    )

    with pytest.raises(SubjectError) as error:
        tables(uri, f"{named}:Base.metadata")

    assert str(error.value).endswith(f"{message} shop.models:db.metadata.")


def test_the_factory_may_import_the_tables_of_named_metadata(write: Write, uri: str) -> None:
    write(
        "from sqlalchemy import MetaData",
        "metadata = MetaData()",
        PLAIN.replace("def create_app(config=None):", "def create_app(config=None):\n        import models"),
    )
    write(
        "from sqlalchemy import Column, Integer, Table",
        "from shop import metadata",
        'Table("item", metadata, Column("id", Integer, primary_key=True), extend_existing=True)',
        name="models.py",
    )

    assert tables(uri, "shop:metadata") == {"": ["item"]}


def test_named_metadata_replaces_that_of_the_first_database_alone(write: Write, uri: str) -> None:
    write(DECLARED["metadata"], name="models.py")
    write(FLASK_SQLALCHEMY)

    assert tables(uri, metadata="models:metadata") == {"": ["item"], "audit": ["visit"]}


def test_a_name_of_something_else_is_refused(write: Write, uri: str) -> None:
    write(FLASK_SQLALCHEMY)

    with pytest.raises(SubjectError, match="metadata 'shop:db' is a SQLAlchemy, not a MetaData"):
        resolved(uri, "shop", metadata="shop:db")


def test_the_metadata_of_advanced_alchemy_is_found_by_its_bind_keys() -> None:
    # Only an environment of tests/conformance has the package: this is the interface that it documents.
    app, first, audit = Flask("shop"), MetaData(), MetaData()
    for metadata in (first, audit):
        Table("item", metadata)
    configurations = [
        SimpleNamespace(bind_key=None, metadata=first),
        SimpleNamespace(bind_key="audit", metadata=audit),
    ]
    app.extensions["advanced_alchemy"] = SimpleNamespace(config=configurations)

    assert metadata_of(app, []) == {"": [first], "audit": [audit]}

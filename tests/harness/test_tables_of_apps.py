"""Verdicts about the tables of small apps."""

import re

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from tests.harness.projects import Project
from tests.harness.shops import FACTORY
from tests.harness.test_own_tables import FIRST_NEEDING
from tests.harness.verdicts import verdicts

MODELS = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String{length}, unique=True)


def create_app(config=None):
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {{}})
    db.init_app(app)
    return app
"""
OTHERS = """
from sqlalchemy import Column, Integer, MetaData, Table

metadata = MetaData()
Table("note", metadata, Column("name", Integer, index=True), Column("word", Integer))

"""
OF_AN_EXTENSION = f"""
from sqlalchemy.types import UserDefinedType
{MODELS.format(length="(80)")}


class Vector(UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return "VECTOR3"


User.vector = db.Column(Vector)
"""
NO_LENGTH = (
    "Failed: user.name cannot be created: VARCHAR requires a length on dialect {name}. Give it a length:"
    " String(255). The model is at shop.py:8."
)
VERDICTS = {"sqlite": ("passed", ""), "postgresql": ("passed", ""), "mysql": ("failed", NO_LENGTH)}


@pytest.mark.parametrize("length", ["", "(80)"])
def test_a_table_that_one_database_cannot_have_fails_there_alone(project_here: Project, length: str) -> None:
    project_here.write(MODELS.format(length=length), "shop.py")

    found = verdicts(project_here, checks=("schema.own-tables",))["schema.own-tables"]

    for name in project_here.backends:
        outcome, reason = ("passed", "") if length else BACKENDS[name].of(VERDICTS)

        assert found[name][0] == outcome
        # A check that passed may have a note about the databases that the run does not include.
        assert outcome == "passed" or found[name][1] == reason.format(name=name)


@pytest.mark.bad_day
def test_a_column_that_a_database_outside_the_run_cannot_have_is_a_note(project: Project) -> None:
    project.write(MODELS.format(length=""), "shop.py")

    ((outcome, note),) = verdicts(project, checks=("schema.own-tables",))["schema.own-tables"].values()

    assert outcome == "passed"
    assert re.fullmatch(
        r"The run does not include .*\bmysql\. There user\.name cannot be created: VARCHAR requires a length."
        r" Give it a length: String\(255\). The model is at shop.py:8.",
        note,
    )


@pytest.mark.bad_day
def test_such_a_note_follows_a_failure(project: Project) -> None:
    models = MODELS.format(length="").replace(
        "\n\n\ndef", "\n    labels = db.Column(ARRAY(db.String))\n\n\ndef"
    )
    project.write(f"from sqlalchemy.dialects.postgresql import ARRAY\n{models}", "shop.py")

    ((outcome, reason),) = verdicts(project, checks=("schema.own-tables",))["schema.own-tables"].values()

    assert outcome == "failed"
    assert re.fullmatch(
        r"Failed: user\.labels cannot be created: .* The model is at shop\.py:9\. The run does not include"
        r" .*\bmysql\. There user\.name cannot be created: VARCHAR requires a length\..*",
        reason,
    )


@pytest.mark.parametrize("migrated", [True, False])
def test_a_type_of_an_extension_is_left_to_the_migrations(project_here: Project, migrated: bool) -> None:  # noqa: FBT001
    project_here.write(OF_AN_EXTENSION, "shop.py")
    if migrated:
        project_here.write("[alembic]\nscript_location = nowhere\n", "alembic.ini")

    found = verdicts(project_here, checks=("schema.own-tables",))["schema.own-tables"]

    outcomes = {
        "sqlite": "passed",
        "mysql": "failed",
        "postgresql": "not applicable" if migrated else "failed",
    }
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        name: BACKENDS[name].of(outcomes) for name in project_here.backends
    }


def test_a_table_that_needs_what_the_server_lacks_is_not_applicable(project_here: Project) -> None:
    execute = (
        f"lambda _, connection, **__: connection.exec_driver_sql({FIRST_NEEDING}[connection.dialect.name])"
    )
    listens = f"db.event.listen(User.__table__, 'before_create', {execute})"
    project_here.write(f"{MODELS.format(length='(80)')}\n\n{listens}", "shop.py")

    found = verdicts(project_here, checks=("schema.own-tables",))["schema.own-tables"]

    assert found.keys() == set(project_here.backends)
    for outcome, reason in found.values():
        assert outcome == "not applicable", reason
        assert re.match("the server lacks what the tables need: .*(nowhere|plugin)", reason), reason


def test_tables_that_are_not_found_can_be_named(project_here: Project) -> None:
    project_here.write(FACTORY, "shop.py")
    project_here.write(OTHERS, "others.py")

    missed = verdicts(project_here, checks=("schema.own-tables",))["schema.own-tables"]
    named = verdicts(project_here, "--testbed-metadata", "others:metadata", checks=("schema.own-tables",))

    reason = "the app's own tables were not found; --testbed-metadata names their metadata"
    assert missed == dict.fromkeys(project_here.backends, ("not applicable", reason))
    assert named["schema.own-tables"] == dict.fromkeys(project_here.backends, ("passed", ""))


LITE = """
from flask import Flask
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Audited(DeclarativeBase):
    pass


class Visit(Audited):
    __tablename__ = "visit"

    id: Mapped[int] = mapped_column(primary_key=True)


def create_app(config):
    app = Flask("shop")
    # The extension remembers the engine of its first app.
    db = SQLAlchemy(session_options={"binds": {Audited: "audit"}})
    app.config["SQLALCHEMY_ENGINES"] = {"audit": "sqlite:///audit.db", **config["SQLALCHEMY_ENGINES"]}
    db.init_app(app)

    @app.before_request
    def read_visits():
        db.session.scalars(select(Visit)).all()

    return app
"""


def test_a_further_engine_of_any_extension_has_its_tables(project: Project) -> None:
    project.write(LITE, "shop.py")

    found = verdicts(project, checks=("lifecycle.request-ends",))

    assert found["lifecycle.request-ends"] == {"sqlite": ("passed", "")}

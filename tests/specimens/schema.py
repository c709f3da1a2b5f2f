"""Mistakes in the declaration of tables, and in their migrations."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import Column, Index, Integer, MetaData, String, Table

from tests.specimens.bindings import Specimen, binding

ENV = """
from alembic import context
from flask import current_app

with current_app.extensions["engine"].connect() as connection:
    context.configure(connection=connection, target_metadata=current_app.extensions["migrate"].db)
    with context.begin_transaction():
        context.run_migrations()
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None

def upgrade():
    op.create_table("specimen_note", {columns})

def downgrade():
    op.drop_table("specimen_note")
"""
KEY = 'sa.Column("id", sa.Integer, primary_key=True)'
# Until this process ends: the migrations run in another one.
folders: list[TemporaryDirectory[str]] = []


def note(*columns: Column[Any] | Index) -> MetaData:
    return Table("specimen_note", MetaData(), Column("id", Integer, primary_key=True), *columns).metadata


def indexed(of_second: str) -> MetaData:
    """Return two tables, each with an index of its `word`."""
    metadata = note(Column("word", String(9)), Index("ix_word", "word"))
    Table("specimen_word", metadata, Column("word", String(9)), Index(of_second, "word"))
    return metadata


def migrated(*columns: str) -> Callable[[Flask, Any], object]:
    """Return a function that gives an app a model, and a migration that creates these columns."""

    def prepare(app: Flask, _session: Any) -> Migrate:
        folder = TemporaryDirectory()
        folders.append(folder)
        versions = Path(folder.name, "versions")
        versions.mkdir()
        Path(folder.name, "env.py").write_text(ENV)
        (versions / "first.py").write_text(MIGRATION.format(columns=", ".join(columns)))
        return Migrate(app, note(Column("word", String(9))), directory=folder.name)

    return prepare


SPECIMENS = {
    "string_without_length": Specimen(
        "A String has no length: MySQL cannot create its table.",
        met="Scifabric/pybossa#222, pallets-eco/flask-sqlalchemy#318, bprinty/Flask-Authorize#38",
        caught_by=("schema.own-tables",),
        wrong=binding(metadata=lambda: note(Column("word", String))),
        corrected=binding(metadata=lambda: note(Column("word", String(9)))),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "It has texts without a length."),
    ),
    "same_index_twice": Specimen(
        "Indexes of two tables have one name: the second table cannot be created.",
        met="the names of indexes of PostgreSQL and SQLite, which belong to the schema",
        caught_by=("schema.own-tables",),
        wrong=binding(metadata=lambda: indexed("ix_word")),
        corrected=binding(metadata=lambda: indexed("ix_specimen_word")),
        not_on={"mysql": "There the name of an index belongs to its table."},
    ),
    "migration_without_a_column": Specimen(
        "A model has a column that no migration adds: an upgraded database lacks it.",
        met="miguelgrinberg/Flask-Migrate, `flask db check`",
        caught_by=("schema.migrations",),
        wrong=binding(prepare=migrated(KEY)),
        corrected=binding(prepare=migrated(KEY, 'sa.Column("word", sa.String(9))')),
    ),
}

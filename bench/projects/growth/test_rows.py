"""The same tests, as many times as `BENCH_COPIES` says."""

import os

import pytest
from flask import Flask
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select

from app.database import db_session, init_engine

metadata = MetaData()
item = Table(
    "item", metadata, Column("id", Integer, primary_key=True), Column("name", String(50), nullable=False)
)


@pytest.mark.parametrize("copy", range(int(os.environ["BENCH_COPIES"])))
@pytest.mark.parametrize("rows", range(1, 21))
def test_committed_rows_are_visible_in_the_next_context(database_uri: str, rows: int, copy: int) -> None:
    """Read all rows: the database holds no other ones."""
    app = Flask(f"copy_{copy}")
    engine = init_engine(database_uri, app=app)
    with app.app_context():
        db_session.execute(insert(item), [{"name": str(number)} for number in range(rows)])
        db_session.commit()

    with app.app_context():
        assert db_session.scalar(select(func.count()).select_from(item)) == rows
    engine.dispose()

"""Tests that got `database_uri`, and whose app connected to another database only, are named at the end."""

import pytest
from sqlalchemy import Engine, create_engine

from flask_sqlalchemy_testbed.subject.engines import made_by_import
from tests.harness.bad_day.test_outages import TWO
from tests.harness.projects import Outcome, Project

pytestmark = pytest.mark.bad_day

ENGINE: Engine
ON_IMPORT = create_engine("sqlite://")

APP = """
    from flask import Flask
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import QueuePool

    def create_app(uri=None):
        app = Flask("shop")
        engine = create_engine("sqlite:///shop.db", poolclass=QueuePool)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

        @app.get("/")
        def index():
            with engine.connect() as connection:
                return str(connection.scalar(text("SELECT 1")))

        return app
"""
USES = """
    from sqlalchemy import create_engine, text

    def use(uri):
        engine = create_engine(uri)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()

"""
IGNORES = (
    USES
    + """
    from shop import create_app

    APP = create_app()  # Its pool is filled before the first test.

    def test_index(database_uri):
        assert create_app(database_uri).test_client().get("/").text == "1"

    def test_made_before(database_uri):
        assert APP.test_client().get("/").text == "1"

    def test_sound(database_uri):
        use(database_uri)
"""
)
SOUND = (
    USES
    + """
    import subprocess
    import sys

    def test_it(database_uri):
        use(database_uri)

    def test_raw(database_uri):
        engine = create_engine(database_uri)
        engine.raw_connection().close()
        engine.dispose()
        use("sqlite:///other.db")

    def test_both(database_uri):
        use("sqlite:///other.db")
        use(database_uri)

    def test_own_creator(testbed_database):
        import sqlite3

        path = testbed_database.url.database
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path))
        engine.connect().close()
        engine.dispose()

    def test_the_configuration_alone(database_uri):
        assert database_uri

    def test_another_process(database_uri):
        subprocess.run([sys.executable, "-c", "pass", database_uri], check=True)

    def test_memory(database_uri):
        use("sqlite://")

    def test_a_file_of_its_own(database_uri, tmp_path):
        use(f"sqlite:///{tmp_path}/golden.db")

    def test_without_the_fixture():
        use("sqlite:///other.db")
"""
)
MEMORY = (
    USES
    + """
    def test_one(database_uri):
        use("sqlite://")

    def test_other(database_uri):
        use("sqlite:///:memory:")
"""
)


@pytest.fixture
def shop(project: Project) -> Project:
    project.write(APP, "shop.py")
    # Files in the temporary folder count as a test's own.
    (project.path / "tmp").mkdir()
    project.environment["TMPDIR"] = str(project.path / "tmp")
    return project


def said(outcome: Outcome) -> list[str]:
    return [line for line in outcome.text.splitlines() if "connected only to" in line]


@pytest.mark.parametrize("parallel", [(), TWO], ids=["one process", "two workers"])
def test_tests_of_an_app_that_ignores_the_uri_are_named(shop: Project, parallel: tuple[str, ...]) -> None:
    shop.write(IGNORES)
    outcome = shop.run("--testbed-backend", "sqlite", *parallel)

    (line,) = said(outcome)
    assert outcome.code == pytest.ExitCode.OK
    assert line == (
        "2 tests got the URI of a clean database, but connected only to sqlite:///shop.db:"
        " test_inner.py::test_index[sqlite], test_inner.py::test_made_before[sqlite]."
        " Have the app use the URI that it is given."
        " If a class of its configuration reads a variable on import, set the attribute of the class."
        " For an app that is made on import, see docs/harness.md#an-app-that-is-made-at-import."
    )


@pytest.mark.parametrize("parallel", [(), TWO], ids=["one process", "two workers"])
def test_the_module_that_makes_the_engine_on_import_is_named(
    shop: Project, parallel: tuple[str, ...]
) -> None:
    shop.write(
        """
        import os
        from sqlalchemy import create_engine

        try:
            uri = os.environ["SHOP_DB"]
        except KeyError:
            engine = create_engine("sqlite:///shop.db").execution_options()
        """,
        "shop_db.py",
    )
    shop.write(
        """
        import shop_db

        def test_index(database_uri, monkeypatch):
            monkeypatch.setenv("SHOP_DB", database_uri)
            shop_db.engine.connect().close()
        """
    )
    outcome = shop.run("--testbed-backend", "sqlite", *parallel)

    (line,) = said(outcome)
    assert outcome.code == pytest.ExitCode.OK
    assert line.endswith(
        " The import of shop_db makes this engine, so a variable that a test sets has no effect. Import the"
        " app's modules again for each test, as the fixture in docs/harness.md#an-app-that-is-made-at-import"
        " does."
    )


def test_an_engine_that_a_function_makes_is_made_by_no_import() -> None:
    global ENGINE  # noqa: PLW0603 - as the factory of an app does
    ENGINE = create_engine("sqlite://")

    assert (made_by_import(ENGINE), made_by_import(ON_IMPORT)) == ("", __name__)


def test_other_tests_are_not_named(shop: Project) -> None:
    shop.write(SOUND)
    outcome = shop.run("--testbed-backend", "sqlite")

    assert outcome.code == pytest.ExitCode.OK, outcome.text
    assert said(outcome) == []


def test_a_database_in_memory_is_named_if_no_test_used_its_own(shop: Project) -> None:
    shop.write(MEMORY)
    outcome = shop.run("--testbed-backend", "sqlite")

    assert len(said(outcome)) == 2
    assert all(line.startswith("1 test got the URI of a clean database") for line in said(outcome))


def test_many_tests_are_counted(shop: Project) -> None:
    shop.write(
        """
        import pytest
        from shop import create_app

        @pytest.mark.parametrize("which", range(9))
        def test_index(database_uri, which):
            create_app().test_client().get("/")
        """
    )
    outcome = shop.run("--testbed-backend", "sqlite")

    (line,) = said(outcome)
    assert line.startswith("9 tests got the URI")
    assert "test_index[sqlite-2] and 6 more." in line

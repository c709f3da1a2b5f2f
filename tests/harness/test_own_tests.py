"""The fixtures in a project's own tests, with the project's own tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.projects import Project
from tests.harness.shops import FACTORY, MODELS

TESTS = """
    import pytest
    from sqlalchemy import select

    from models import Book
    from shop import create_app, db_session

    @pytest.fixture
    def app(database_uri):
        app = create_app({"DATABASE_URI": database_uri})
        yield app
        app.extensions["engine"].dispose()

    @pytest.mark.parametrize("title", ["Emma", "Persuasion"])
    def test_one_book(app, title):
        with app.app_context():
            db_session.add(Book(title=title))
            db_session.commit()
            assert db_session.scalars(select(Book.title)).all() == [title]
"""
# Creates the tables as a migration does, and counts its calls.
MIGRATE = """
    import os, sys
    from pathlib import Path
    from sqlalchemy import create_engine
    from models import Base

    print("migrating", os.environ.get("FLASK_APP"))
    with Path("asked").open("a") as file:
        file.write("asked ")
    engine = create_engine(os.environ[sys.argv[1]])
    Base.metadata.create_all(engine)
    engine.dispose()
"""


@pytest.fixture
def shop(project_here: Project) -> Project:
    project_here.write(FACTORY, "shop.py")
    project_here.write(MODELS, "models.py")
    project_here.write(MIGRATE, "migrate.py")
    project_here.write(TESTS)
    return project_here


def command(variable: str) -> str:
    return f"{sys.executable} migrate.py {variable}"


@pytest.mark.parametrize(
    "options",
    [("--testbed-metadata", "models:Base.metadata"), ("-o", "testbed_metadata=models:Base.metadata")],
)
def test_the_tables_of_a_metadata_exist_and_are_empty(shop: Project, options: tuple[str, ...]) -> None:
    outcome = shop.run(*options)

    assert outcome.code == 0, outcome.text
    assert f"{2 * len(shop.backends)} passed" in outcome.text


@pytest.mark.parametrize("folder", [".", "tests"], ids=["in the root", "in a folder"])
@pytest.mark.parametrize("metadata", ["models:Base.metadata", "models:Base"])
def test_the_modules_of_the_configuration_file_are_imported_from_its_folder(
    shop: Project, folder: str, metadata: str
) -> None:
    shop.write(f"[pytest]\ntestbed_metadata = {metadata}\naddopts = -p no:cacheprovider\n", "pytest.ini")
    (shop.path / "tests").mkdir()
    shop.write(TESTS, "tests/test_books.py")
    # pytest imports it before it configures the plugin.
    shop.write("import models", "tests/conftest.py")
    (shop.path / "test_inner.py").unlink()
    # `python -m pytest` would put the current folder on the import path.
    words = [str(Path(sys.executable).with_name("pytest")), "--testbed-backend", ",".join(shop.backends)]
    ran = subprocess.run(
        words, cwd=shop.path / folder, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{2 * len(shop.backends)} passed" in ran.stdout


def test_a_metadata_without_tables_is_refused(shop: Project) -> None:
    shop.write("from sqlalchemy import MetaData\nmetadata = MetaData()\n", "empty.py")

    outcome = shop.run("--testbed-metadata", "empty:metadata")

    assert outcome.code == 1, outcome.text
    assert outcome.lines("empty:metadata has no tables: name the module that defines the models.")


@pytest.mark.parametrize(
    ("variable", "options"), [("DATABASE_URL", ()), ("SHOP_DATABASE", ("--testbed-uri-env", "SHOP_DATABASE"))]
)
def test_a_command_creates_the_tables_once_for_each_database(
    shop: Project, variable: str, options: tuple[str, ...]
) -> None:
    outcome = shop.run("--testbed-schema-command", command(variable), *options)

    assert outcome.code == 0, outcome.text
    assert f"{2 * len(shop.backends)} passed" in outcome.text
    assert (shop.path / "asked").read_text().split() == ["asked"] * len(shop.backends)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("raise SystemExit('no migration')", "ended with status 1; it wrote:"),
        (
            "print('nothing to do')",
            "If it reads another variable, name that one with --testbed-uri-env; it wrote:",
        ),
        (
            "import sqlite3\ntry:\n    sqlite3.connect('real.db')\nexcept Exception:\n    pass",
            "the SQLite file real.db is not a database of this run; nothing was sent.",
        ),
    ],
)
def test_a_command_that_creates_no_table_is_reported_and_runs_once(
    shop: Project, source: str, complaint: str
) -> None:
    shop.write(
        f"from pathlib import Path\nwith Path('asked').open('a') as it:\n    it.write('x')\n{source}\n",
        "migrate.py",
    )
    shop.backends = ["sqlite"]

    outcome = shop.run("--testbed-schema-command", command("X"))

    assert outcome.code == 1
    assert outcome.text.count(complaint) == 1
    assert (shop.path / "asked").read_text() == "x"
    assert not (shop.path / "real.db").exists()


def test_a_command_that_does_not_exist_is_reported(shop: Project) -> None:
    outcome = shop.run("--testbed-schema-command", "no-such-command upgrade")

    assert "no-such-command cannot be run: No such file or directory." in outcome.text


def test_a_script_of_this_python_runs_in_it(shop: Project) -> None:
    shop.write(f"{FACTORY}\n    return app\n".replace("return made", "app = made") + CLI, "shop.py")

    outcome = shop.run("--testbed-schema-command", "flask migrate", "--testbed-app", "shop:cli")

    assert outcome.code == 0, outcome.text


CLI = """

import os
import models


def cli():
    app = create_app({"DATABASE_URI": os.environ["DATABASE_URI"]})

    @app.cli.command()
    def migrate():
        models.Base.metadata.create_all(app.extensions["engine"])

    return app
"""


@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_missing_table_names_the_options_that_create_it_once(
    shop: Project, parallel: tuple[str, ...]
) -> None:
    said = "A table is missing, and no option names tables. --testbed-metadata MODULE:Base.metadata or"

    without, named = shop.run(*parallel), shop.run("--testbed-metadata", "models:Base.metadata")

    assert without.code == pytest.ExitCode.TESTS_FAILED
    assert len(without.lines(said)) == 1, without.text
    assert named.code == 0
    assert "A table is missing" not in named.text

"""The battery runs the migrations of an app, on each backend in a database of their own."""

import json
import re
from pathlib import Path

import pytest
from flask import Flask

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.battery.dropped_indexes import lines_to_delete
from flask_sqlalchemy_testbed.battery.migrated import place_of
from tests.harness.projects import Outcome, Project
from tests.harness.test_own_tables import FIRST_NEEDING

MIGRATIONS, OWN_TABLES = "schema.migrations", "schema.own-tables"
SHOP = """
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db, migrate = SQLAlchemy(), Migrate()


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(40), nullable=False)


def create_app(config=None):
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)
    migrate.init_app(app, db)
    return app
"""
ENV = """
from alembic import context
from flask import current_app

db = current_app.extensions["migrate"].db
with db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
ENV_OF_ALEMBIC = """
import sqlalchemy
from alembic import context
from shop import db

engine = sqlalchemy.create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
FIRST = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None


def upgrade():
    op.create_table(
        "user",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
    )


def downgrade():
    op.drop_table("user")
"""
DROPPED = '    op.drop_table("user")\n'


@pytest.fixture
def shop(project_on_one: Project) -> Project:
    """Return an app whose only migration is right."""
    return migrated(project_on_one)


@pytest.fixture
def shop_here(project_here: Project) -> Project:
    """Return the same app on all backends of this run."""
    return migrated(project_here)


def migrated(project: Project) -> Project:
    (project.path / "migrations" / "versions").mkdir(parents=True)
    project.write(SHOP, "shop.py")
    project.write(ENV, "migrations/env.py")
    project.write(FIRST, "migrations/versions/first.py")
    return project


def check(project: Project, *options: str, app: str = "shop") -> Outcome:
    words = ("--testbed-app", app, "--testbed-check", MIGRATIONS, "--testbed-check", OWN_TABLES)
    return project.run(
        *("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-matrix", "matrix.json"), *words, *options
    )


def reasons(project: Project, outcome: str, of: str = MIGRATIONS) -> set[str]:
    """Return the reasons of the check on all backends, which must have this outcome there."""
    rows = json.loads((project.path / "matrix.json").read_text())["checks"]
    (row,) = (row for row in rows if row["id"] == of)
    assert row["results"] == dict.fromkeys(project.backends, outcome), row
    return {row["reasons"].get(backend, "") for backend in project.backends}


def test_right_migrations_pass(shop_here: Project) -> None:
    outcome = check(shop_here)

    assert outcome.code == 0, outcome.text
    assert reasons(shop_here, "passed") == reasons(shop_here, "passed", OWN_TABLES) == {""}


def test_an_alembic_ini_is_used_with_the_uri_of_the_run(shop_here: Project) -> None:
    shop_here.write(SHOP.replace("    migrate.init_app(app, db)\n", ""), "shop.py")
    shop_here.write(
        "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = sqlite:///mine.db\n",
        "alembic.ini",
    )
    shop_here.write(ENV_OF_ALEMBIC, "migrations/env.py")

    outcome = check(shop_here)

    assert outcome.code == 0, outcome.text
    assert reasons(shop_here, "passed") == {""}
    assert not (shop_here.path / "mine.db").exists()


OF_ALEMBIC = SHOP.replace("    migrate.init_app(app, db)\n", "")


def test_the_paths_of_an_alembic_ini_are_relative_to_its_folder(shop: Project) -> None:
    (shop.path / "inner").mkdir()
    (shop.path / "migrations").rename(shop.path / "inner" / "scripts")
    shop.write(ENV_OF_ALEMBIC, "inner/scripts/env.py")
    shop.write(OF_ALEMBIC, "inner/shop.py")
    shop.write("[alembic]\nscript_location = scripts\n", "inner/alembic.ini")

    outcome = check(shop, app="inner/shop.py")

    assert outcome.code == 0, outcome.text
    assert reasons(shop, "passed") == {""}


def test_migrations_that_alembic_cannot_read_are_not_applicable(shop: Project) -> None:
    shop.write(OF_ALEMBIC, "shop.py")
    shop.write("[alembic]\nscript_location = nowhere\n", "alembic.ini")

    outcome = check(shop)

    assert outcome.code == 0, outcome.text
    (reason,) = reasons(shop, "not applicable")
    assert reason.startswith("alembic cannot read its migrations: Path doesn't exist: ")


def test_an_alembic_ini_among_installed_packages_may_belong_to_any_of_them(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "shop"
    package.mkdir(parents=True)
    (package.parent / "alembic.ini").touch()

    assert place_of(Flask("shop", root_path=str(package))) is None


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "reason"),
    [
        (
            '        sa.Column("id", sa.Integer, primary_key=True),\n    )\n',
            DROPPED,
            "after `upgrade`, `check` finds that the models and the tables differ: add column user.name. Add",
        ),
        (
            '        sa.Column("id", sa.Integer),\n    )\n    op.drop_table("nothing")\n',
            DROPPED,
            "`upgrade` fails in migrations/versions/first.py:13: ",
        ),
    ],
)
def test_a_migration_that_fails_is_one_sentence(
    shop_here: Project, upgrade: str, downgrade: str, reason: str
) -> None:
    head = FIRST[: FIRST.index("        sa.Column")]
    shop_here.write(f"{head}{upgrade}\n\ndef downgrade():\n{downgrade}", "migrations/versions/first.py")

    outcome = check(shop_here)

    assert outcome.code == 1, outcome.text
    for found in reasons(shop_here, "failed"):
        assert found.startswith(f"Failed: {reason}"), found
        assert len(found.splitlines()) == 1


NOWHERE = """
class Nowhere(db.types.TypeEngine):
    __visit_name__ = "nowhere"
"""


def test_a_column_that_fails_in_check_is_named(shop_here: Project) -> None:
    models = SHOP.replace("\n\nclass User", f"\n\n{NOWHERE}\nclass User")
    shop_here.write(models.replace("db.String(40), nullable=False", "Nowhere"), "shop.py")

    outcome = check(shop_here)

    assert outcome.code == 1, outcome.text
    for found in reasons(shop_here, "failed"):
        assert found.startswith("Failed: `check` fails: user.name cannot be created: ")
        assert found.endswith(" The model is at shop.py:14.")


def test_an_env_py_that_fails_is_named(shop: Project) -> None:
    shop.write(f"{ENV}\nraise RuntimeError('no log')", "migrations/env.py")

    outcome = check(shop)

    assert outcome.code == 1, outcome.text
    assert reasons(shop, "failed") == {"Failed: `upgrade` fails in migrations/env.py:11: no log."}


def test_the_newest_migration_is_named_where_check_finds_differences(shop: Project) -> None:
    shop.write(SHOP.replace("db.String(40), nullable=False", "db.String(40)"), "shop.py")

    check(shop)

    for found in reasons(shop, "failed"):
        assert found.endswith(" The newest migration is at migrations/versions/first.py:1.")


@pytest.mark.parametrize(
    ("downgrade", "note"),
    [
        (
            "    raise NotImplementedError('there is no way back')\n",
            "`downgrade base` fails in migrations/versions/first.py:17: there is no",
        ),
        ("    pass\n", "`downgrade base` leaves the table user in the database."),
    ],
)
def test_a_failing_downgrade_is_a_note(shop_here: Project, downgrade: str, note: str) -> None:
    shop_here.write(FIRST.replace(DROPPED, downgrade), "migrations/versions/first.py")

    outcome = check(shop_here)

    assert outcome.code == 0, outcome.text
    assert all(found.startswith(note) for found in reasons(shop_here, "passed"))
    (line,) = outcome.lines("note")
    assert line.startswith(f"note, no failure: schema.migrations ({', '.join(shop_here.backends)}): {note}")


AUTOGENERATED = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None


def upgrade():
    op.create_table("author", sa.Column("id", sa.Integer, primary_key=True))
    op.create_table(
        "user",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("author_id", sa.Integer, sa.ForeignKey("author.id"), nullable=False),
    )
    op.create_index("ix_user_name", "user", ["name"])
    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_user_author_id"), ["author_id"])


def downgrade():
    op.drop_index("ix_user_name", table_name="user")
    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_user_author_id"))

    op.drop_table("user")
    op.drop_table("author")
"""
WITH_AUTHORS = SHOP.replace(
    "nullable=False)\n",
    """nullable=False, index=True)
    author_id = db.Column(db.ForeignKey("author.id"), nullable=False, index=True)


class Author(db.Model):
    id = db.Column(db.Integer, primary_key=True)
""",
)


@pytest.mark.testbed_needs("bounded-reads")
def test_the_note_names_the_lines_whose_deletion_mends_the_downgrade(
    project_here: Project, testbed_backend: Backend
) -> None:
    shop = migrated(project_here)
    shop.backends = [testbed_backend.name]
    shop.write(WITH_AUTHORS, "shop.py")
    shop.write(AUTOGENERATED, "migrations/versions/first.py")

    check(shop)
    (note,) = reasons(shop, "passed")
    (first, last) = (int(line) for line in re.findall(r"\((\d+), (\d+)-", note)[0])
    lines = AUTOGENERATED.splitlines()
    shop.write("\n".join([*lines[: first - 1], *lines[last + 1 :]]), "migrations/versions/first.py")
    check(shop)

    assert reasons(shop, "passed") == {""}, note


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("", "", "22, 23-24"),
        (
            "batch_op.drop_index(batch_op",
            "batch_op.drop_column('x')\n        batch_op.drop_index(batch_op",
            "22, 25",
        ),
        ('"ix_user_name", table_name="user"', '"ix_user_name", "user"', "22, 23-24"),
        ('    op.drop_table("user")\n', "", ""),
        ('drop_table("user")', "drop_table(NAME)", ""),
    ],
    ids=["autogenerated", "column", "position", "table stays", "unknown table"],
)
def test_the_lines_that_drop_indexes_of_a_dropped_table_are_found(
    before: str, after: str, lines: str
) -> None:
    source = AUTOGENERATED.replace(before, after) if before else AUTOGENERATED
    line = next(
        number for number, text in enumerate(source.splitlines(), 1) if 'op.f("ix_user_author_id"))' in text
    )

    found = lines_to_delete(source, line)

    assert found == (
        f"Delete the lines that drop indexes ({lines}): their tables are dropped after them." if lines else ""
    )


@pytest.mark.parametrize(
    ("file", "source", "reason"),
    [
        (
            "migrations/env.py",
            f'import sqlite3\nsqlite3.connect("mine.db")\n{ENV}',
            "its env.py connects to the SQLite file mine.db and not to the database of the app",
        ),
        (
            "shop.py",
            SHOP.replace(
                "    return app", "    with app.app_context():\n        db.create_all()\n    return app"
            ),
            "the app creates its tables itself when it is made",
        ),
        ("migrations/versions/first.py", "raise SystemExit", ""),
        (
            "shop.py",
            SHOP.replace("migrate.init_app(app, db)", "pass"),
            "the app has no migrations of Flask-Migrate or alembic",
        ),
    ],
)
def test_migrations_that_cannot_be_tried_are_not_applicable(
    shop: Project, file: str, source: str, reason: str
) -> None:
    shop.write(source, file)
    if not reason:
        (shop.path / file).unlink()
        reason = "its migrations have no revision yet"

    outcome = check(shop)

    assert outcome.code == 0, outcome.text
    assert reasons(shop, "not applicable") == {reason}
    (line,) = outcome.lines("not applicable: ")
    assert line == f"not applicable: {len(shop.backends)} test{'s' * (len(shop.backends) > 1)} ({reason})"
    assert not (shop.path / "mine.db").exists()


@pytest.mark.parametrize("raised", ["", "raise RuntimeError('ask the administrator')"])
def test_migrations_that_need_what_the_server_lacks_are_not_applicable(
    shop_here: Project, raised: str
) -> None:
    execute = f"op.execute({FIRST_NEEDING}[op.get_bind().dialect.name])"
    wrapped = f"    try:\n        {execute}\n    except Exception:\n        {raised or 'raise'}\n"
    shop_here.write(
        FIRST.replace("def upgrade():\n", f"def upgrade():\n{wrapped}"), "migrations/versions/first.py"
    )

    outcome = check(shop_here)

    assert outcome.code == 0, outcome.text
    for reason in reasons(shop_here, "not applicable"):
        assert re.match(
            r"the server lacks what its migrations need in \S+/first\.py:\d+: .*(nowhere|plugin)",
            reason,
        ), reason


def test_an_app_may_run_its_migrations_when_it_is_made(shop: Project) -> None:
    upgrade = "    with app.app_context():\n        upgrade()\n    return app"
    source = SHOP.replace("    return app", upgrade).replace("import Migrate", "import Migrate, upgrade")
    shop.write(source, "shop.py")

    outcome = check(shop)

    assert outcome.code == 0, outcome.text
    assert reasons(shop, "passed") == {""}


def test_migrations_that_hang_are_ended(shop: Project) -> None:
    shop.write(f"import time\ntime.sleep(60)\n{ENV}", "migrations/env.py")

    outcome = check(shop, "--testbed-check-timeout", "4")

    assert outcome.code == 1, outcome.text
    assert reasons(shop, "failed") == {"Failed: the migrations did not end within 3.2 s"}

"""The report on failing migrations names the file to change and how to change it."""

from typing import Any

import pytest

from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.report.causes import begin_with, groups
from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report
from tests.harness.reports import report, row

FILE = "migrations/versions/1_first.py:22"
UPGRADE = f"Failed: `upgrade` fails in {FILE}: VARCHAR requires a length."
EDIT = (
    f"On an empty mysql database, `flask db upgrade` fails in {FILE}: edit that migration; a later one cannot"
    " mend it. A database that has it already needs a further migration that alters the column."
)
TYPE = "VARCHAR requires a length. Give it a length: String(255). The model is at blog/models.py:12."


def failed(check: str, reason: str) -> CheckRow:
    one = CHECKS[check]
    data: dict[str, Any] = {"severity": str(one.severity), "cases": list(one.cases), "remedy": one.remedy}
    return row(check, one.claim, {"mysql": "failed"}, {"mysql": reason}, **data)


def with_rows(*rows: CheckRow) -> Report:
    return {**report(), "checks": list(rows), "subject": {"app": "blog", "factory_at": "blog/__init__.py:11"}}


def test_the_models_are_mended_before_the_migrations() -> None:
    found = groups(
        with_rows(
            failed("schema.own-tables", f"Failed: post.title cannot be created: {TYPE}"),
            failed("schema.migrations", UPGRADE),
        )
    )

    assert [group.rows[0]["id"] for group in found] == ["schema.own-tables", "schema.migrations"]
    assert found[0].at == "blog/models.py:12"


@pytest.mark.parametrize(
    ("reason", "at", "remedy"),
    [
        (UPGRADE, FILE, EDIT),
        (
            f"Failed: after `downgrade base`, `upgrade` fails in {FILE}: exists.",
            FILE,
            "On a mysql database, `flask db upgrade` fails after `flask db downgrade base`: complete the",
        ),
        (
            "Failed: `upgrade` fails in migrations/env.py:7: no such file.",
            "migrations/env.py:7",
            "On an empty mysql database, `flask db upgrade` fails in migrations/env.py:7: correct that line.",
        ),
        (
            f"Failed: `check` fails: post.title cannot be created: {TYPE}",
            "blog/models.py:12",
            "On a mysql database that has all migrations, `flask db check` fails: correct the model.",
        ),
        (
            f"Failed: after `upgrade`, `check` finds that they differ. The newest migration is at {FILE}.",
            FILE,
            (
                "Run `flask db migrate` on a mysql database that has all migrations, and commit the migration"
                " that it writes. A new NOT NULL column needs a server_default if its table has rows."
            ),
        ),
    ],
)
def test_the_remedy_names_the_database_and_the_file(reason: str, at: str, remedy: str) -> None:
    one = with_rows(failed("schema.migrations", reason))

    (group,) = groups(one)

    assert group.at == at
    assert group.remedy.startswith(remedy)
    assert begin_with(one).startswith(f"Begin with schema.migrations, in {at}. ")

"""Read the place and the remedy of failing migrations in the evidence of `schema.migrations`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.report.summary import reasons_of

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import CheckRow

# A place in the evidence, as `file:line`.
PLACE = re.compile(
    r"`[a-z ]+` fails in (?P<migration>.+?:\d+): "
    r"|The (?:model|newest migration) is at (?P<line>.+?:\d+)\."
)
# The remedy by the beginning of the evidence; `on` stands for the names of the databases.
REMEDIES = {
    "after `downgrade base`, `upgrade` fails": (
        "On a {on} database, `flask db upgrade` fails after `flask db downgrade base`: complete the"
        " downgrade() of the migrations."
    ),
    r"`upgrade` fails in (?P<at>\S*env\.py:\d+): ": (
        "On an empty {on} database, `flask db upgrade` fails in {at}: correct that line."
    ),
    r"`upgrade` fails in (?P<at>.+?:\d+): ": (
        "On an empty {on} database, `flask db upgrade` fails in {at}: edit that migration; a later one cannot"
        " mend it. A database that has it already needs a further migration that alters the column."
    ),
    "`check` fails: .*The model is at": (
        "On a {on} database that has all migrations, `flask db check` fails: correct the model."
    ),
    "after `upgrade`, `check` finds": (
        "Run `flask db migrate` on a {on} database that has all migrations, and commit the migration that it"
        " writes. A new NOT NULL column needs a server_default if its table has rows."
    ),
}


def place_in(row: CheckRow) -> str:
    """Return the first place that the evidence of a check names, as `file:line`; empty if none.

    Args:
        row: A check that failed.
    """
    found = next(filter(None, map(PLACE.search, reasons_of(row))), None)
    return found["migration"] or found["line"] if found else ""


def remedy_of(row: CheckRow) -> str:
    """Return the remedy for the migrations that failed; that of the check if the evidence is of another kind.

    Args:
        row: A check that failed.
    """
    for reason, columns in reasons_of(row).items():
        for pattern, remedy in REMEDIES.items():
            if found := re.match(f"Failed: {pattern}", reason):
                return remedy.format(on=" or ".join(columns), **found.groupdict())
    return row["remedy"]

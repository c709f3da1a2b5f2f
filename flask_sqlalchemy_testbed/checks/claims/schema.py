"""Claims about the app's own tables and their migrations."""

from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, Check

CHECKS = (
    Check(
        "schema.own-tables",
        "The app's own tables can be created in an empty database, and dropped again.",
        severity=AVAILABILITY,
        cases=(82,),
        remedy="Declare what each database can have, or give a type a variant for others: with_variant().",
    ),
    Check(
        "schema.migrations",
        "The app's migrations build an empty database, twice, and end with the tables of its models.",
        severity=AVAILABILITY,
        cases=(83,),
        remedy=(
            "Run `flask db upgrade` and `flask db check` on an empty database of the kind that fails. Edit"
            " the migration that fails there: a later one cannot mend it."
        ),
    ),
)

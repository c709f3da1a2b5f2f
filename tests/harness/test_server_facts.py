"""Checks that describe a database observe it without the app."""

from tests.harness.projects import Project
from tests.harness.shops import FACTORY
from tests.harness.verdicts import verdicts

# What these rules change is shown by a check on one backend or another.
RULES = """
from sqlalchemy import DateTime, Engine, Numeric, String, event
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Select


@compiles(DateTime, "mysql")
def with_microseconds(*_, **__):
    return "DATETIME(6)"


@compiles(Numeric, "postgresql")
def without_limits(*_, **__):
    return "NUMERIC"


@compiles(String, "sqlite")
def with_length(type_, *_, **__):
    if not type_.length:
        raise CompileError("VARCHAR requires a length")
    return f"VARCHAR({type_.length})"


@event.listens_for(Engine, "before_execute", retval=True)
def without_order(connection, clause, multiparams, params, options):
    return clause.order_by(None) if isinstance(clause, Select) else clause, multiparams, params
"""
SERVER = ("any-length", "fractions", "too-large", "null-order", "uuid", "json-null", "generated-key", "case")


def test_rules_of_the_app_for_sqlalchemy_change_no_observation_of_a_server(project_here: Project) -> None:
    project_here.write(f"{RULES}\n{FACTORY}", "shop.py")

    found = verdicts(project_here, checks=tuple(f"portability.{name}" for name in SERVER))

    assert len(found) == len(SERVER)
    assert {outcome for by_backend in found.values() for outcome in by_backend.values()} == {("passed", "")}

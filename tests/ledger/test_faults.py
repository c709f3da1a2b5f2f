"""Errors are classified by the codes of every driver, installed or not."""

import subprocess
import sys

import pytest
from sqlalchemy.exc import DBAPIError

from app.faults import Fault, fault_of

POSTGRESQL = pytest.mark.parametrize(
    ("driver", "attribute"), [("psycopg", "sqlstate"), ("psycopg2", "pgcode")], ids=["psycopg", "psycopg2"]
)


def raised(driver: str, name: str, *arguments: object, **attributes: object) -> DBAPIError:
    """Wrap an error as SQLAlchemy does.

    A class of that name and module stands in for the driver's.
    """
    error = type(name, (Exception,), {"__module__": f"{driver}.errors", **attributes})(*arguments)
    wrapped = DBAPIError.instance("SELECT 1", {}, error, Exception)
    assert isinstance(wrapped, DBAPIError)
    return wrapped


@POSTGRESQL
@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("57P01", Fault.AWAY),
        ("53300", Fault.AWAY),
        ("40P01", Fault.CONTENDED),
        ("23505", Fault.TAKEN),
        ("22001", Fault.OTHER),
    ],
)
def test_a_postgresql_error_is_classified_by_its_code(
    driver: str, attribute: str, code: str, fault: Fault
) -> None:
    assert fault_of(raised(driver, "DatabaseError", **{attribute: code})) is fault


@POSTGRESQL
def test_a_postgresql_error_without_a_code_is_classified_by_its_class(driver: str, attribute: str) -> None:
    assert fault_of(raised(driver, "OperationalError", **{attribute: None})) is Fault.AWAY
    assert fault_of(raised(driver, "ProgrammingError", **{attribute: None})) is Fault.OTHER


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((2003, "Can't connect"), Fault.AWAY),
        ((1213, "Deadlock found"), Fault.CONTENDED),
        ((1062, "Duplicate entry"), Fault.TAKEN),
        ((1064, "You have an error in your SQL syntax"), Fault.OTHER),
        ((), Fault.OTHER),
    ],
)
def test_a_mysql_error_is_classified_by_its_number(arguments: tuple[object, ...], fault: Fault) -> None:
    assert fault_of(raised("pymysql", "OperationalError", *arguments)) is fault


def test_an_error_of_an_unknown_driver_is_other() -> None:
    assert fault_of(raised("exotic", "OperationalError")) is Fault.OTHER


def test_importing_the_app_imports_no_driver_of_a_server() -> None:
    code = "import app, sys; assert not {'psycopg', 'psycopg2', 'pymysql'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)

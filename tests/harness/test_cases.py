import importlib
import pkgutil
from types import FunctionType

import pytest

from flask_sqlalchemy_testbed import battery
from flask_sqlalchemy_testbed.checks.catalogue import CASES
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import GROUPS, Check


def test_every_check_has_one_test_in_the_battery() -> None:
    tested = [
        mark.args[0].id
        for module in pkgutil.iter_modules(battery.__path__, f"{battery.__name__}.")
        if module.name.rpartition(".")[2].startswith("test_")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, FunctionType)
        for mark in getattr(value, "pytestmark", ())
        if mark.name == "testbed_check"
    ]

    assert sorted(tested) == sorted(CHECKS)
    assert list(dict.fromkeys(check.group for check in CHECKS.values())) == list(GROUPS)


def test_every_claim_is_a_sentence_and_covers_known_cases_with_addresses() -> None:
    assert [check.id for check in CHECKS.values() if not check.claim.endswith(".")] == []
    assert {case for check in CHECKS.values() for case in check.cases} <= CASES.keys()
    assert CASES[15].url == "https://github.com/pallets-eco/flask-sqlalchemy/issues/339"
    assert CASES[28].url.startswith("https://docs.sqlalchemy.org/")
    assert all(case.url.startswith("https://") for case in CASES.values() if case.thread)
    assert all(case.failure.endswith(".") for case in CASES.values())


def test_every_check_has_a_severity_and_a_remedy() -> None:
    missing = [f"{one.id}: severity" for one in CHECKS.values() if one.severity is None]
    missing += [
        f"{one.id}: remedy"
        for one in CHECKS.values()
        if not one.remedy and not one.records and not one.unfailable
    ]

    assert missing == [], "Add these to flask_sqlalchemy_testbed/checks/claims; definition.py describes them."


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(ValueError, match=r"There is no check 'lifecycle.unknown'"):
        check("lifecycle.unknown")
    with pytest.raises(ValueError, match=r"'weather.rains' is in no group"):
        Check("weather.rains", "It rains.")

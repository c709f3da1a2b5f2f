from __future__ import annotations

import importlib
import pkgutil
from types import FunctionType
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed import battery
from flask_sqlalchemy_testbed.checks.catalogue import CASES, told_of

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.checks.check import Check

CHECKS = [
    mark.args[0]
    for module in pkgutil.iter_modules(battery.__path__)
    if module.name.startswith("test_")
    for value in vars(importlib.import_module(f"flask_sqlalchemy_testbed.battery.{module.name}")).values()
    if isinstance(value, FunctionType)
    for mark in getattr(value, "pytestmark", ())
    if mark.name == "testbed_check"
]


@pytest.mark.parametrize("it", CHECKS, ids=[it.id for it in CHECKS])
def test_every_case_that_a_check_covers_is_told(it: Check) -> None:
    assert len(told_of(it.cases)) == len(it.cases)


def test_threads_have_addresses() -> None:
    assert CASES[15].url == "https://github.com/pallets-eco/flask-sqlalchemy/issues/339"
    assert CASES[28].url.startswith("https://docs.sqlalchemy.org/")
    assert all(case.url.startswith("https://") for case in CASES.values() if case.where)
    assert all(case.met.endswith(".") for case in CASES.values())

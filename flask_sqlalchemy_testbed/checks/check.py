"""Mark a test as the test of a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from flask_sqlalchemy_testbed.checks.definition import Check

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def check(which: str | Check) -> Callable[[F], F]:
    """Return a decorator that marks a test as the test of a check.

    Args:
        which: The id of a check of the battery, or a check of one's own.

    Returns:
        The decorator. It also marks the test with the capabilities that the check needs.

    Raises:
        ValueError: The battery has no check with this id.
    """
    # Not for the test runs of other projects, which load this module.
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415

    if isinstance(which, Check):
        found = which
    elif which in CHECKS:
        found = CHECKS[which]
    else:
        message = f"There is no check {which!r}. Define it in flask_sqlalchemy_testbed/checks/claims."
        raise ValueError(message)

    def mark(function: F) -> F:
        marked = pytest.mark.testbed_needs(*found.needs)(function) if found.needs else function
        return pytest.mark.testbed_check(found)(marked)  # type: ignore[no-any-return]

    return mark


def check_of(item: pytest.Item) -> Check | None:
    """Return the check that the test is marked with, or None.

    Args:
        item: A test.
    """
    mark = item.get_closest_marker("testbed_check")
    return mark.args[0] if mark else None

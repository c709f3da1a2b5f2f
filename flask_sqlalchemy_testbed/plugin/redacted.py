"""Remove passwords from the reports of tests before any plugin shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from flask_sqlalchemy_testbed.plugin import state

if TYPE_CHECKING:
    from collections.abc import Generator

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Redact the report of a test."""
    return _redacted_report(item.config, (yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Redact the report of a module that cannot be collected."""
    return _redacted_report(collector.config, (yield))


def _redacted_report(config: pytest.Config, report: R) -> R:
    # Without a run there is no database: the reports of other projects are left alone.
    if state.RUN in config.stash and (report.failed or report.sections):
        from flask_sqlalchemy_testbed.redaction import redact_all  # noqa: PLC0415 - compiles a long pattern

        report.sections = redact_all(report.sections)
        report.longrepr = _redacted(report.longrepr)
    return report


def _redacted(value: Any) -> Any:
    """Return pytest's representation of a failure with all its texts redacted.

    It is changed in place if possible.
    """
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - as above

    if isinstance(value, str):
        return redact(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_redacted, value))
    if type(value).__module__.startswith("_pytest."):
        for name, inner in vars(value).items():
            setattr(value, name, _redacted(inner))
    return value

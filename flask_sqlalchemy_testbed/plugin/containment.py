"""Refuse the app's connections to other databases, from its import to the end of the run.

Collection and tests outside the battery run no code of the app: there nothing is refused, and `sys.argv` is
pytest's own.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import settings, state

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from flask_sqlalchemy_testbed.subject.guard import Refusal

BATTERY = Path(__file__).parent.parent / "battery"
_CONTAINMENT: pytest.StashKey[_Containment] = pytest.StashKey()
# In the `workeroutput` of a worker: the app was refused a connection there.
_REFUSED = "testbed_refused"
_REFUSED_IN_WORKER: pytest.StashKey[bool] = pytest.StashKey()


class _Containment:
    """The refusals of the run, and the state of the process before the app's import."""

    def __init__(self, refusals: list[Refusal]) -> None:
        self.refusals = refusals
        self.seen = 0
        self.arguments = sys.argv


def names_battery(argument: str) -> bool:
    """Return whether an argument of the command line names the battery or a part of it."""
    return any(
        name in argument for name in ("flask_sqlalchemy_testbed.battery", "flask_sqlalchemy_testbed/battery")
    )


def pytest_configure(config: pytest.Config) -> None:
    """Allow the files that the user names, also to the schema command."""
    if paths := settings.setting(config, "allow-file"):
        from flask_sqlalchemy_testbed.subject import guard  # noqa: PLC0415 - not for every pytest run

        for path in paths:
            guard.allow_file(config.invocation_params.dir / path)


def start(config: pytest.Config) -> None:
    """Refuse other databases until pytest ends; called before the app is imported."""
    if _CONTAINMENT in config.stash:
        return
    from flask_sqlalchemy_testbed.subject import guard  # noqa: PLC0415 - not for every pytest run

    refusals = guard.start()
    config.stash[_CONTAINMENT] = _Containment(refusals)
    config.add_cleanup(lambda: guard.stop(refusals))


def has_started(config: pytest.Config) -> bool:
    """Return whether code of the app may have run in this process."""
    return _CONTAINMENT in config.stash


def found(config: pytest.Config) -> None:
    """Ignore the refusals so far.

    `resolve` has reported them, or another call of the factory worked.
    """
    containment = config.stash[_CONTAINMENT]
    containment.seen = len(containment.refusals)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Refuse nothing while tests outside the battery are imported."""
    with _outside(session.config, is_battery=all(map(names_battery, session.config.args))):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse nothing while a test outside the battery runs."""
    with _outside(item.config, is_battery=item.path.is_relative_to(BATTERY)):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def _end_after_refusal(item: pytest.Item) -> Generator[None, object, object]:
    """End the run before the check is reported as failed.

    After a refusal the outcome of no check would mean anything.
    """
    try:
        return (yield)
    finally:
        _end_if_refused(item)


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _end_after_refusal


@contextlib.contextmanager
def _outside(config: pytest.Config, *, is_battery: bool) -> Iterator[None]:
    """Suspend the guard, unless the code in the block is the battery's."""
    containment = config.stash.get(_CONTAINMENT, None)
    if containment is None or is_battery:
        yield
        return
    from flask_sqlalchemy_testbed.subject.guard import suspended  # noqa: PLC0415 - imported by `start`

    arguments, sys.argv = sys.argv, containment.arguments
    try:
        with suspended():
            yield
    finally:
        sys.argv = arguments


def _end_if_refused(item: pytest.Item) -> None:
    containment = item.config.stash.get(_CONTAINMENT, None)
    if containment is None or len(containment.refusals) == containment.seen:
        return
    refusal = containment.refusals[containment.seen]
    check = check_of(item)
    message = (
        f"{refusal.app} tried to connect to {refusal} in {check.id if check else item.nodeid}: that is not a"
        f" database of this run, and the connection was refused. {refusal.advice}"
    )
    found(item.config)
    if state.WORKER in item.config.stash:  # pytest-xdist passes this on to the controller.
        item.session.shouldstop = message
        item.config.workeroutput[_REFUSED] = True  # type: ignore[attr-defined]
    pytest.exit(message, returncode=int(pytest.ExitCode.USAGE_ERROR))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Note the refusal of a worker."""
    if getattr(node, "workeroutput", {}).get(_REFUSED):
        node.config.stash[_REFUSED_IN_WORKER] = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End with the same exit status as a run in one process."""
    if session.config.stash.get(_REFUSED_IN_WORKER, False):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR

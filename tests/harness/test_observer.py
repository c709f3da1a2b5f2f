"""The process that observes databases answers each question, or says why it does not."""

import os
import signal

import pytest

from flask_sqlalchemy_testbed.battery.observer import ObservationError, Observer, observer


@pytest.fixture
def fresh() -> Observer:
    observer.cache_clear()
    return observer()


def test_an_observation_that_raises_shows_its_traceback(fresh: Observer) -> None:
    with pytest.raises(ObservationError, match=r"no such table: testbed_item"):
        fresh.observe("case", "sqlite://")

    assert fresh.observe("any_length", "sqlite://") is True


def test_a_process_that_was_killed_is_replaced(fresh: Observer) -> None:
    os.kill(fresh._process.pid, signal.SIGKILL)  # noqa: SLF001 - as the machine would
    fresh._process.wait(5)  # noqa: SLF001

    with pytest.raises((ObservationError, BrokenPipeError)):
        fresh.observe("any_length", "sqlite://")
    assert observer().observe("any_length", "sqlite://") is True


def test_a_process_that_does_not_end_in_time_is_killed(
    fresh: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_sqlalchemy_testbed.battery.observer.END_WITHIN", 0.1)
    os.kill(fresh._process.pid, signal.SIGSTOP)  # noqa: SLF001 - as on a machine that is too busy

    fresh.close()

    assert fresh._process.returncode == -signal.SIGKILL  # noqa: SLF001 - the status that its end left
    observer.cache_clear()

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

"""The status is polled seldom, and shown in time even if the server does not answer."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event

import pytest

from flask_sqlalchemy_testbed.databases import Database
from trials import status
from trials.mounts import Mounted
from trials.status import StatusPoller

SECONDS = 60


def status_of(poller: StatusPoller) -> dict[str, object]:
    poller.poll()
    return poller.status()


def test_a_frozen_server_does_not_block_the_page(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    @contextmanager
    def outside() -> Iterator[Database]:
        over.wait(SECONDS)
        message = "It never answered."
        raise OSError(message)
        yield

    monkeypatch.setattr(mounted, "outside", outside)
    monkeypatch.setattr(status, "FIRST_WAIT_SECONDS", 0.3)
    monkeypatch.setattr(status, "LATE_SECONDS", 0.2)
    poller = StatusPoller(mounted)
    began = time.monotonic()
    found = status_of(poller)
    took = time.monotonic() - began
    over.set()

    assert took < SECONDS / 2
    assert (found["status"], found["transactions"]) == ("not reachable", "unknown")
    assert found["error"] == "no answer for 0 s"


def test_many_pages_poll_the_server_once(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    outside = mounted.outside

    def counted() -> AbstractContextManager[Database]:
        asked.append("once")
        return outside()

    monkeypatch.setattr(mounted, "outside", counted)
    monkeypatch.setattr(status, "FRESH_SECONDS", SECONDS)
    poller = StatusPoller(mounted)

    assert {str(status_of(poller)["status"]) for _ in range(10)} == {"reachable"}
    assert len(asked) == 1


def test_an_error_is_shown_until_the_next_poll_succeeds(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "FRESH_SECONDS", 0)
    monkeypatch.setattr(status, "WAIT_SECONDS", SECONDS)
    poller = StatusPoller(mounted)
    before = status_of(poller)
    with monkeypatch.context() as away:
        away.setattr(
            mounted.backend.__class__, "version", property(lambda _: "SELECT nothing"), raising=False
        )
        wrong = status_of(poller)
    after = status_of(poller)

    assert [found["status"] for found in (before, wrong, after)] == [
        "reachable",
        "not reachable",
        "reachable",
    ]
    assert wrong["version"] == before["version"]
    assert (bool(wrong["error"]), after["error"]) == (True, "")


def test_an_optional_backend_is_hidden_until_its_server_has_answered(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted.is_optional = True
    monkeypatch.setattr(status, "FRESH_SECONDS", 0)
    monkeypatch.setattr(status, "WAIT_SECONDS", SECONDS)
    poller = StatusPoller(mounted)
    version = property(lambda _: "SELECT nothing")
    with monkeypatch.context() as away:
        away.setattr(mounted.backend.__class__, "version", version, raising=False)
        status_of(poller)
        before = poller.is_hidden
    up = status_of(poller)["status"], poller.is_hidden
    with monkeypatch.context() as away:
        away.setattr(mounted.backend.__class__, "version", version, raising=False)
        down = status_of(poller)["status"], poller.is_hidden

    assert before
    assert (up, down) == (("reachable", False), ("not reachable", False))

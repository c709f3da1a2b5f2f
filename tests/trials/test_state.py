"""What a backend is now: asked seldom, and told in time even when the server does not answer."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

from trials import state
from trials.state import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import pytest

    from flask_sqlalchemy_testbed.databases import Database
    from trials.mounts import Mounted

SECONDS = 60


def told(watch: Watch) -> dict[str, object]:
    watch.ask()
    return watch.state()


def test_a_server_that_hangs_does_not_hang_the_page(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Event()

    @contextmanager
    def outside() -> Iterator[Database]:
        over.wait(SECONDS)
        message = "It never answered."
        raise OSError(message)
        yield

    monkeypatch.setattr(mounted, "outside", outside)
    monkeypatch.setattr(state, "FIRST_SECONDS", 0.3)
    monkeypatch.setattr(state, "LATE_SECONDS", 0.2)
    watch = Watch(mounted)
    began = time.monotonic()
    found = told(watch)
    took = time.monotonic() - began
    over.set()

    assert took < SECONDS / 2
    assert (found["status"], found["transactions"]) == ("not reachable", "unknown")
    assert found["error"] == "no answer for 0 s"


def test_however_many_look_the_server_is_asked_once(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    outside = mounted.outside

    def counted() -> AbstractContextManager[Database]:
        asked.append("once")
        return outside()

    monkeypatch.setattr(mounted, "outside", counted)
    monkeypatch.setattr(state, "FRESH_SECONDS", SECONDS)
    watch = Watch(mounted)

    assert {str(told(watch)["status"]) for _ in range(10)} == {"reachable"}
    assert len(asked) == 1


def test_what_is_wrong_is_told_and_forgotten_when_it_is_mended(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FRESH_SECONDS", 0)
    monkeypatch.setattr(state, "PATIENCE_SECONDS", SECONDS)
    watch = Watch(mounted)
    before = told(watch)
    with monkeypatch.context() as away:
        away.setattr(
            mounted.backend.__class__, "version", property(lambda _: "SELECT nothing"), raising=False
        )
        wrong = told(watch)
    after = told(watch)

    assert [found["status"] for found in (before, wrong, after)] == [
        "reachable",
        "not reachable",
        "reachable",
    ]
    assert wrong["version"] == before["version"]
    assert (bool(wrong["error"]), after["error"]) == (True, "")

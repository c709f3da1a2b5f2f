"""Serve the trial on the database of the test, and use its page as a visitor does."""

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine
from werkzeug.test import Client, TestResponse

from app.database import Base
from flask_sqlalchemy_testbed.backends.base import Backend
from trials import tape
from trials.models import TrialBase
from trials.mounts import Mounted, mount
from trials.wsgi import serve

ORIGIN = "http://localhost"
WITHIN = 10


@pytest.fixture(scope="session")
def testbed_schema() -> Callable[[str], None]:
    """Create the tables once, not for each test."""

    def create(uri: str) -> None:
        engine = create_engine(uri)
        for tables in (Base.metadata, TrialBase.metadata):
            tables.create_all(engine)
        engine.dispose()

    return create


class Reader(Client):
    """Reads each response to its end, as a browser does: the request ends with the response."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        return super().open(*args, **{**options, "buffered": True})


class Visitor:
    """Sends the forms of the page, and reads the JSON that its script reads."""

    def __init__(self, mounted: Mounted, *, trials: bool) -> None:
        self.mounted = mounted
        self.client = Reader(serve({mounted.name: mounted}, trials=trials))

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.get("/").text)
        assert found
        return found[1]

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=ORIGIN, headers=headers)

    def post(self, path: str, headers: dict[str, str] | None = None, /, **form: str) -> TestResponse:
        given = {"Origin": ORIGIN, **(headers or {})}
        return self.client.post(path, data={"token": self.token, **form}, base_url=ORIGIN, headers=given)

    def run(self, scenario: str) -> str:
        """Run a scenario, and return the page of its timeline."""
        return self.get(self.post("/scenarios", scenario=scenario).location).text

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.get("/state.json").json[self.mounted.name]  # type: ignore[index]
        return state


@pytest.fixture
def recorded() -> Iterator[None]:
    """Record events on tapes during this test."""
    tape.listen()
    yield
    tape.stop_listening()


@pytest.fixture
def mounted(database_uri: str, testbed_backend: Backend, recorded: None) -> Iterator[Mounted]:  # noqa: ARG001 - recording is on
    mounted = mount(testbed_backend.name, {"DATABASE_URI": database_uri}, trials=True)
    yield mounted
    end(mounted)


@pytest.fixture
def visitor(mounted: Mounted) -> Visitor:
    return Visitor(mounted, trials=True)


@pytest.fixture
def visitor_without_trials(database_uri: str, testbed_backend: Backend) -> Iterator[Visitor]:
    mounted = mount(testbed_backend.name, {"DATABASE_URI": database_uri}, trials=False)
    yield Visitor(mounted, trials=False)
    end(mounted)


def end(mounted: Mounted) -> None:
    """Leave no live engine to later tests.

    A running poll would connect once more, so wait for it.
    """
    for thread in threading.enumerate():
        if thread.name == f"status {mounted.name}":
            thread.join(WITHIN)
    mounted.engine.dispose()

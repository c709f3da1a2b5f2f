"""The binding's setting in a run with a pooler, for tests that make engines themselves."""

import pytest

from app.database.engines import make_engine
from flask_sqlalchemy_testbed.plugin import settings


@pytest.fixture(autouse=True)
def documented_settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test on a server make engines as docs/pooler.md says, if the run has a pooler."""
    if settings.setting(request.config, "pooler") and "testbed_server" in request.fixturenames:
        defaults = {**(make_engine.__kwdefaults__ or {}), "behind_pooler": True}
        monkeypatch.setattr(make_engine, "__kwdefaults__", defaults)

"""The binding's setting in a run with a pooler, for tests that make engines themselves."""

import pytest

from app.database.engines import make_engine
from flask_sqlalchemy_testbed.plugin import settings


@pytest.fixture(autouse=True)
def documented_settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Have a test on a server make engines as docs/pooler.md says, if the run has a pooler.

    Returns:
        The options of `make_engine`, for a test that makes its engine in another process.
    """
    if not settings.setting(request.config, "pooler") or "testbed_server" not in request.fixturenames:
        return {}
    options = {"behind_pooler": True}
    monkeypatch.setattr(make_engine, "__kwdefaults__", {**(make_engine.__kwdefaults__ or {}), **options})
    return options

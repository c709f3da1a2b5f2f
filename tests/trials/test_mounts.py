from __future__ import annotations

import pytest
from werkzeug.test import Client

from trials.wsgi import create_trial


def test_each_backend_has_an_app_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite, postgresql, mysql")
    client = Client(create_trial())

    # The servers are not there, and are not asked.
    assert client.get("/postgresql/healthz").status_code == 200
    assert client.get("/mysql/openapi.json").get_json()["servers"] == [{"url": "/mysql"}]


def test_sqlite_alone_is_mounted_unless_more_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAL_BACKENDS", raising=False)
    client = Client(create_trial())

    assert 'href="sqlite/api/accounts"' in client.get("/").text
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/mysql/healthz").status_code == 404


def test_an_unknown_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite,mysq")

    with pytest.raises(ValueError, match=r"Unknown backend 'mysq'.*Choose from: mysql, postgresql, sqlite\."):
        create_trial()

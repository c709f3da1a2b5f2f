from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.trials.conftest import Reader
from trials import tape
from trials.wsgi import create_trial

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give each test a database file of its own, and stop the recorder afterwards."""
    monkeypatch.setenv("SQLITE_URI", f"sqlite:///{tmp_path}/ledger.db")
    yield
    tape.stop_listening()


def test_each_backend_has_an_app_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite, postgresql, mysql")
    client = Reader(create_trial())

    # The servers are not there, and are not asked.
    assert client.get("/postgresql/healthz").status_code == 200
    assert client.get("/mysql/openapi.json").get_json()["servers"] == [{"url": "/mysql"}]


def test_sqlite_alone_is_mounted_unless_more_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAL_BACKENDS", raising=False)
    client = Reader(create_trial())

    assert 'href="sqlite/api/accounts"' in client.get("/").text
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/mysql/healthz").status_code == 404


def test_an_unknown_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite,mysq")

    with pytest.raises(ValueError, match=r"Unknown backend 'mysq'.*Choose from: mysql, postgresql, sqlite\."):
        create_trial()


def test_nothing_that_tests_alone_need_is_imported() -> None:
    """The container has what the app needs, and no more."""
    code = (
        "import sys\n"
        "for name in ('pytest', 'docker', 'testcontainers'): sys.modules[name] = None\n"
        "import trials.wsgi, trials.page\n"
    )

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)

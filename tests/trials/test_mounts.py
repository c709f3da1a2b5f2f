import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.trials.conftest import Reader
from trials import tape
from trials.mounts import mount
from trials.wsgi import create_trial

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give each test a database file of its own, and stop the recorder afterwards."""
    monkeypatch.setenv("SQLITE_URI", f"sqlite:///{tmp_path}/ledger.db")
    yield
    tape.stop_listening()


def test_each_backend_has_its_own_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite, postgresql, mysql")
    client = Reader(create_trial())

    # The servers do not exist, and no request connects to them.
    assert client.get("/postgresql/healthz").status_code == 200
    assert client.get("/mysql/openapi.json").get_json()["servers"] == [{"url": "/mysql"}]


def test_only_sqlite_is_mounted_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAL_BACKENDS", raising=False)
    client = Reader(create_trial())

    assert 'href="sqlite/api/accounts"' in client.get("/").text
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/mysql/healthz").status_code == 404


def test_an_optional_backend_appears_only_when_it_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite,mariadb?")
    client = Reader(create_trial())
    page = client.get("/").text

    assert 'data-backend="sqlite"' in page
    assert "mariadb" not in page
    assert list(client.get("/state.json").get_json()) == ["sqlite"]
    assert client.get("/mariadb/healthz").status_code == 200


def test_an_unknown_backend_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_BACKENDS", "sqlite,mysq")

    with pytest.raises(
        ValueError, match=r"Unknown backend 'mysq'.*Choose from: mariadb, mysql, postgresql, sqlite\."
    ):
        create_trial()


def test_the_trial_needs_no_package_of_the_tests() -> None:
    """Import the trial without the packages that its image does not contain."""
    code = (
        "import sys\n"
        "for name in ('pytest', 'docker', 'testcontainers', 'flask_sqlalchemy_testbed.battery',"
        " 'flask_sqlalchemy_testbed.plugin'): sys.modules[name] = None\n"
        "import trials.wsgi, trials.page\n"
    )

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.testbed_needs("server")
def test_the_connection_outside_the_app_reads_the_password_file(database_uri: str, tmp_path: Path) -> None:
    url = make_url(database_uri)
    (tmp_path / "password").write_text(f"{url.password}\n")
    uri = url.set(password="wrong").render_as_string(hide_password=False)
    name = url.get_backend_name()
    mounted = mount(
        name,
        {"DATABASE_URI": uri, "DATABASE_PASSWORD_FILE": str(tmp_path / "password")},
        trials=False,
    )

    with mounted.outside() as database:
        assert database.connection.rows("SELECT 40 + 2") == [(42,)]

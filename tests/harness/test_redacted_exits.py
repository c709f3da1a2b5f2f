"""A known password is on no line of the terminal and in no file of the run."""

from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.redaction import _forms
from tests.harness.projects import Outcome, Project

PASSWORD = 'it\'s "p@ss" <7>'
APP = """
    import logging
    import os

    from flask import Flask, request
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import scoped_session, sessionmaker

    maker = sessionmaker()
    session = scoped_session(maker)


    def create_app(config, password=None):
        secret = password or os.environ["SHOP_PASSWORD"]
        app = Flask("shop")
        maker.configure(bind=create_engine(config["DATABASE_URI"]))
        if os.environ.get("AT_START"):
            raise RuntimeError(f"cannot log in with {secret}")

        @app.before_request
        def ask():
            if request.path.startswith("/testbed/preflight"):
                return  # After it no check would run.
            print("printed", secret)
            logging.warning("logged %r", secret)
            literal = secret.replace("'", "''")
            session.execute(text(f"SELECT '{literal}'"))
            try:
                session.execute(text(f"SELECT '{literal}' FROM nowhere"))
            finally:
                session.remove()

        return app
"""
TEST = """
    import os
    import pytest

    secret = os.environ["SHOP_PASSWORD"]


    @pytest.fixture
    def late(database_uri):
        yield
        raise ValueError(f"late {secret}")


    def test_it(database_uri, late):
        print(f"printed {secret}")
        try:
            raise KeyError(secret)
        except KeyError as error:
            found = [secret]
            assert found == ["x"], f"not {secret}"
"""
IN_COLLECTION = """
    import os

    raise ValueError(os.environ["SHOP_PASSWORD"])
"""


def written(outcome: Outcome, folder: Path) -> dict[str, str]:
    """Return the texts that the run has left, by their places."""
    files = {
        str(path): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.suffix in {".json", ".md", ".html", ".xml"}
    }
    return {"the terminal": outcome.text, **files}


def assert_starred(texts: dict[str, str]) -> None:
    found = [f"{place}: {form}" for place, text in texts.items() for form in _forms(PASSWORD) if form in text]
    assert found == []
    assert all("***" in text for place, text in texts.items() if place.endswith(("terminal", ".html")))


@pytest.fixture
def shop(project: Project) -> Project:
    (project.path / "pytest.ini").write_text("[pytest]\naddopts = -rA --showlocals --junitxml=junit.xml\n")
    project.environment["SHOP_PASSWORD"] = PASSWORD
    project.write(APP, "shop.py")
    return project


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_the_battery_writes_no_password(shop: Project, workers: list[str]) -> None:
    outcome = shop.run(
        *("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app", *workers),
        *("--testbed-report", "report", "--testbed-matrix", "matrix.json"),
        *("--testbed-check", "lifecycle.request-ends", "--testbed-check", "lifecycle.handled-error"),
    )

    texts = written(outcome, shop.path)
    assert "lifecycle.request-ends failed on sqlite" in outcome.text
    assert len(texts) == 7
    assert_starred(texts)


def test_an_app_that_cannot_be_made_shows_no_password(shop: Project) -> None:
    outcome = shop.run(
        *("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app"), AT_START="1"
    )

    assert "cannot log in with" in outcome.text
    assert_starred({"the terminal": outcome.text})


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_a_failure_of_a_users_test_shows_no_password(shop: Project, workers: list[str]) -> None:
    shop.write(TEST)
    outcome = shop.run("test_inner.py", *workers)

    assert "1 failed, 1 error" in outcome.text
    assert_starred(written(outcome, shop.path))


def test_a_module_that_cannot_be_collected_shows_no_password(shop: Project) -> None:
    shop.write(IN_COLLECTION)
    outcome = shop.run("test_inner.py", "--testbed-backend", "sqlite")

    assert "1 error" in outcome.text
    assert_starred(written(outcome, shop.path))

"""The battery on an app of somebody's own, from its own directory."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.subject.subject import URI_KEYS
from tests.harness.shops import BINDING, FACTORY, ONE_APP, WITHOUT_REMOVE

if TYPE_CHECKING:
    from pathlib import Path

    from flask_sqlalchemy_testbed.backends.base import Backend
    from tests.harness.projects import Project

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery")
ONE = ("--testbed-check", "lifecycle.request-ends")


def test_an_app_need_not_be_named(project_here: Project) -> None:
    project_here.write(FACTORY, "wsgi.py")

    outcome = project_here.run(*BATTERY, *ONE, "--testbed-matrix", "matrix.json")

    assert outcome.code == 0, outcome.text
    (line,) = outcome.lines("app: ")
    assert line.split("; ") == [
        "app: wsgi:create_app",
        "found in wsgi.py, where flask looks too",
        "session wsgi:db_session, the only scoped_session of its modules",
        f"made with a mapping, the URI under any of {', '.join(URI_KEYS)}",
    ]
    matrix = json.loads((project_here.path / "matrix.json").read_text())
    assert matrix["subject"]["app"] == "wsgi:create_app"
    assert set(matrix["checks"][0]["results"].values()) == {"passed"}


def test_what_was_found_is_found_once_for_all_workers(project_here: Project) -> None:
    noted = "with open('made', 'a') as file:\n        file.write('made ')\n    return made"
    project_here.write(FACTORY.replace("return made", noted), "shop.py")
    ids = ("lifecycle.request-ends", "lifecycle.context-ends", "binding.two-apps")
    checks = [word for name in ids for word in ("--testbed-check", name)]

    outcome = project_here.run(*BATTERY, *checks, "--testbed-app", "shop", "-n", "2")

    assert outcome.code == 0, outcome.text
    assert f"{len(ids) * len(project_here.backends)} passed" in outcome.text
    # Once to see how, then by the checks.
    assert (project_here.path / "made").read_text().split() == ["made"] * (1 + 4 * len(project_here.backends))


def test_checks_of_several_apps_are_not_applicable_to_one(project_here: Project) -> None:
    project_here.write(ONE_APP, "shop.py")

    outcome = project_here.run(
        *BATTERY,
        *ONE,
        "--testbed-check",
        "binding.two-apps",
        "--testbed-check",
        "binding.starts-without-its-database",
        "--testbed-app",
        "shop",
    )

    assert outcome.code == 0, outcome.text
    several = len(project_here.backends)
    assert f"not applicable: {several} (the app is made when its module is imported" in outcome.text
    assert f"{2 * several} passed" in outcome.text


@pytest.mark.testbed_needs("server")
def test_an_app_of_one_database_is_tried_on_that(project_here: Project, testbed_backend: Backend) -> None:
    # No SQLite knows it.
    options = 'connect_args={"connect_timeout": 5}'
    project_here.write(
        f"{BINDING}\ndef create_app(config):\n    app = made(config['DATABASE_URI'], {options})\n"
        "    app.extensions['engine'].connect().close()\n    return app\n",
        "shop.py",
    )
    project_here.backends = [testbed_backend.name]

    outcome = project_here.run(*BATTERY, *ONE, "--testbed-app", "shop")

    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        (
            "print('waiting for ever'); __import__('threading').Event().wait()",
            [
                "was not made within 1 s. If it needs more, raise the limit with",
                "waiter.acquire()",
                "waiting for ever",
            ],
        ),
        (
            "while True:\n        try: __import__('time').sleep(60)\n        except Exception: pass",
            ["--testbed-start-timeout SECONDS. It was in:", "time').sleep(60)"],
        ),
        (
            "print('opening'); __import__('sqlite3').connect('real.db').execute('CREATE TABLE t (x)')",
            ["tried to connect to the SQLite file real.db when it started", "opening"],
        ),
    ],
)
def test_what_goes_wrong_at_the_start_is_told_before_any_server(
    project: Project, source: str, complaints: list[str]
) -> None:
    project.write(f"{BINDING}\ndef create_app(config: dict):\n    {source}\n", "shop.py")

    # Where Docker would be asked, this run would fail otherwise.
    outcome = project.run(
        *BATTERY,
        "--testbed-app",
        "shop",
        "--testbed-start-timeout",
        "1",
        "--testbed-backend",
        "postgresql",
        DOCKER_HOST="tcp://127.0.0.1:1",
    )

    assert outcome.code == 4
    errors = outcome.lines("ERROR: ")
    assert len(errors) == 1
    for complaint in complaints:
        assert complaint in outcome.text
    assert not (project.path / "real.db").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--testbed-app", "nowhere"), "importing 'nowhere' raised ModuleNotFoundError"),
        ((), "neither wsgi.py nor app.py is in"),
        (
            ("--testbed-app", "shop", "--testbed-session", "shop:made"),
            "--testbed-session 'shop:made' raised TypeError when called",
        ),
        (("--testbed-app", "shop", "--testbed-driver", "postgresql"), "is not of the form backend=driver"),
        (
            ("--testbed-app", "shop", "--testbed-baseline", "shop.py"),
            "--testbed-baseline 'shop.py' cannot be read (JSONDecodeError",
        ),
        (
            ("--testbed-metadata", "shop:made"),
            "--testbed-metadata 'shop:made' is no MetaData but a function.",
        ),
        (("--testbed-metadata", "shop:x", "--testbed-schema-command", "true"), "not both"),
    ],
)
def test_bad_input_is_one_sentence_before_any_server(
    project: Project, options: tuple[str, ...], complaint: str
) -> None:
    project.write(FACTORY, "shop.py")

    outcome = project.run(
        *BATTERY, *options, "--testbed-backend", "postgresql", DOCKER_HOST="tcp://127.0.0.1:1"
    )

    assert outcome.code == 4, outcome.text
    (error,) = outcome.lines("ERROR: ")
    assert complaint in error
    assert "Docker" not in outcome.text


def test_a_failure_names_a_reported_case_and_the_remedy(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")

    outcome = project.run(*BATTERY, *ONE, "--testbed-app", "shop", COLUMNS="120")

    assert outcome.code == 1
    assert (
        """
  reported:   Some requests leak their connections, until the pool is empty.
              https://github.com/pallets-eco/flask-sqlalchemy/issues/339
  remedy:     Call session.remove() in a teardown_appcontext callback.
"""
        in outcome.text
    )


def test_a_baseline_lets_pass_what_failed_before_and_nothing_else(project: Project, tmp_path: Path) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    checks = ("--testbed-check", "lifecycle.request-ends", "--testbed-check", "lifecycle.context-ends")
    options = (
        *BATTERY,
        "--testbed-app",
        "shop",
        "--testbed-baseline",
        "known.json",
        "--testbed-matrix",
        "matrix.json",
    )

    refused = project.run(*options, "--testbed-check", "lifecycle.request-ends", CI="true")

    assert refused.code == 4
    assert "--testbed-baseline 'known.json': there is no such file, and none is recorded" in refused.text
    assert not (tmp_path / "known.json").exists()

    recorded = project.run(*options, "--testbed-check", "lifecycle.request-ends", CI="")

    assert recorded.code == 0, recorded.text
    assert "known.json written: 1 known failures." in recorded.text
    assert "1 xfailed" in recorded.text
    known = json.loads((tmp_path / "known.json").read_text())["known"]
    assert known == {"lifecycle.request-ends": ["sqlite"]}

    again = project.run(*options, *checks)
    assert again.code == 1
    matrix = json.loads((tmp_path / "matrix.json").read_text())
    assert {row["id"]: row["results"]["sqlite"] for row in matrix["checks"]} == {
        "lifecycle.request-ends": "known failure",
        "lifecycle.context-ends": "failed",
    }
    assert re.search(r"^  request-ends +known$", again.text, re.MULTILINE)

    project.write(FACTORY, "shop.py")
    mended = project.run(*options, *checks, "-n", "2")
    assert mended.code == 0, mended.text
    assert "lifecycle.request-ends on sqlite is no longer needed in known.json: it holds." in mended.text


def test_an_app_that_connects_when_it_is_made_finds_no_file_of_ours(project: Project) -> None:
    project.write(
        """
        from flask import Flask
        from flask_sqlalchemy import SQLAlchemy

        db = SQLAlchemy()


        def create_app(config):
            app = Flask("shop", instance_path=__file__.removesuffix("shop.py") + "instance")
            app.config.from_mapping(config)
            db.init_app(app)
            with app.app_context():
                db.engine.connect().close()
            return app
        """,
        "shop.py",
    )

    outcome = project.run(*BATTERY, "--testbed-app", "shop", "--testbed-check", "binding.relative-path")

    assert outcome.code == 0, outcome.text
    assert list(project.path.rglob("*.db")) == []

"""Threads that each app starts while it is made use the database of their check, and of no later one."""

import threading
from collections.abc import Callable, Iterator

import pytest

from flask_sqlalchemy_testbed.subject import app_threads
from tests.harness.projects import Project, eventually
from tests.harness.shops import BINDING

WORKER = f"""
import threading
import time
from pathlib import Path

from sqlalchemy import text
{BINDING}

def work(app):
    try:
        with app.app_context():
            while True:
                try:
                    db_session.execute(text("SELECT 1"))
                except Exception:
                    db_session.rollback()
                time.sleep(0.01)
    finally:
        with Path("ended").open("a") as file:
            file.write("ended\\n")


def create_app(config):
    app = made(config["DATABASE_URI"])
    threading.Thread(target=work, args=[app], name="jobs", daemon=True).start()
    return app
"""
CHECKS = ("lifecycle.request-ends", "lifecycle.context-ends", "lifecycle.thread")


@pytest.fixture
def start() -> Iterator[Callable[[str], threading.Thread]]:
    """Return a function that starts a thread, as a factory does; the thread connects again and again."""
    is_over, noted = threading.Event(), threading.Event()

    def connect() -> None:
        while not is_over.wait(0.01):
            app_threads.end_if_over()
            app_threads.note_use()
            noted.set()

    def start_one(name: str) -> threading.Thread:
        noted.clear()
        with app_threads.making_an_app():
            thread = threading.Thread(target=connect, name=name, daemon=True)
            thread.start()
        assert noted.wait(5)
        return thread

    yield start_one
    is_over.set()
    app_threads.end()
    app_threads.end()


def test_threads_of_each_app_end_without_a_warning_when_they_connect_after_the_end(
    start: Callable[[str], threading.Thread],
) -> None:
    threads = [start(f"jobs-{number}") for number in range(2)]
    assert "; meanwhile the database was used by the app's thread 'jobs-0' (" in app_threads.clause()

    app_threads.end()

    eventually(lambda: not any(thread.is_alive() for thread in threads))


def test_a_thread_that_one_app_alone_has_started_continues(start: Callable[[str], threading.Thread]) -> None:
    thread = start("the loop of this process")

    app_threads.end()

    thread.join(0.1)
    assert thread.is_alive()


def test_a_thread_that_the_factory_starts_is_the_cause_of_what_it_has_open(project_here: Project) -> None:
    project_here.write(WORKER, "shop.py")
    chosen = [word for check in CHECKS for word in ("--testbed-check", check)]

    outcome = project_here.run(
        "--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app", *chosen
    )

    line = WORKER.partition("db_session.execute")[0].count("\n") + 1
    assert outcome.code == 1, outcome.text
    assert outcome.lines("Cause 1 of 1, ")[0].endswith(
        ": Threads that the app starts while it is made use the database during the checks."
    )
    assert f"used by the app's thread 'jobs' (shop.py, line {line})" in " ".join(outcome.text.split())
    assert len((project_here.path / "ended").read_text().split()) >= len(CHECKS)
    assert "SystemExit" not in outcome.text

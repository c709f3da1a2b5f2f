"""How a request can end."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import abort
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, PendingRollbackError

from app.database import db_session
from app.problems import Problem
from trials.scenarios.scenario import scenario
from trials.tables import Entry

if TYPE_CHECKING:
    from trials.stage import Stage


@scenario("commit", "Commit", check="lifecycle.request-ends")
def commit(stage: Stage) -> None:
    """When a request has answered, its session is gone and its connection is back. What it committed
    stays.
    """

    def view() -> str:
        _write(stage, "kept")
        db_session.commit()
        return "committed"

    stage.ask(view)
    stage.stand_committed(["kept"])


@scenario("fail-before-commit", "Fail before the commit", check="lifecycle.handled-error")
def fail_before_commit(stage: Stage) -> None:
    """What a request wrote before an error that a handler answers is rolled back with its session."""

    def view() -> str:
        _write(stage, "written")
        raise Problem(HTTPStatus.CONFLICT, "Something came between.", {})

    stage.ask(view, expect=HTTPStatus.CONFLICT)
    stage.stand_committed([])


@scenario("abort-404", "Abort with 404", check="lifecycle.failed-request-ends")
def abort_404(stage: Stage) -> None:
    """An aborted request leaves nothing behind, however far it had come."""

    def view() -> str:
        _write(stage, "written")
        abort(HTTPStatus.NOT_FOUND)

    stage.ask(view, expect=HTTPStatus.NOT_FOUND)
    stage.stand_committed([])


@scenario("unhandled-error", "Unhandled error", check="lifecycle.failed-request-ends")
def unhandled_error(stage: Stage) -> None:
    """An exception that nobody handles ends the session all the same: the answer is 500, and no more."""

    def view() -> str:
        _write(stage, "written")
        message = "The trial wants an error that nobody handles."
        raise LookupError(message)

    stage.ask(view, expect=HTTPStatus.INTERNAL_SERVER_ERROR)
    stage.stand_committed([])


@scenario("duplicate-key", "Duplicate key, then a query", check="lifecycle.failed-flush")
def duplicate_key(stage: Stage) -> None:
    """A flush that failed, even one whose error was swallowed, fails nothing after its own request."""
    stage.change("INSERT INTO trial_entry (name, value) VALUES ('{}/taken', 0)")
    met: list[str] = []

    def twice() -> str:
        try:
            _write(stage, "taken")
        except IntegrityError as error:
            met.append(type(error).__name__)
        try:
            return _count()
        except PendingRollbackError as error:
            met.append(type(error).__name__)
            return "refused until the rollback"

    stage.ask(twice)
    told = " and then ".join(met) or "nothing"
    stage.fact(f"The first request met {told}, swallowed both and did not roll back", holds=len(met) == 2)  # noqa: PLR2004
    answer = stage.ask(_count)
    stage.fact(f"The next request's query answered {answer.text}", holds=answer.text.isdecimal())
    stage.stand_committed(["taken"])


def _write(stage: Stage, word: str) -> None:
    db_session.add(Entry(name=stage.name(word)))
    db_session.flush()


def _count() -> str:
    return str(db_session.scalar(select(func.count()).select_from(Entry)))

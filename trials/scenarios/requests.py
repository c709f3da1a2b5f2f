"""Scenarios for the ways in which a request can end."""

from http import HTTPStatus

from flask import abort
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, PendingRollbackError

from app.database import db_session
from app.problems import Problem
from trials.models import Entry
from trials.scenarios.scenario import scenario
from trials.stage import Stage


@scenario("commit", "Commit", check="lifecycle.request-ends")
def commit(stage: Stage) -> None:
    """Commit a row in a request.

    Its session is removed, its connection is returned, and the row stays.
    """

    def view() -> str:
        _write(stage, "kept")
        db_session.commit()
        return "committed"

    stage.ask(view)
    stage.expect_committed(["kept"])


@scenario("fail-before-commit", "Fail before the commit", check="lifecycle.handled-error")
def fail_before_commit(stage: Stage) -> None:
    """Raise a handled error before the commit.

    The request's rows are rolled back with its session.
    """

    def view() -> str:
        _write(stage, "written")
        raise Problem(HTTPStatus.CONFLICT, "This scenario raises a handled error.", {})

    stage.ask(view, expect=HTTPStatus.CONFLICT)
    stage.expect_committed([])


@scenario("abort-404", "Abort with 404", check="lifecycle.failed-request-ends")
def abort_404(stage: Stage) -> None:
    """Abort a request. It leaves nothing open, and none of its rows is committed."""

    def view() -> str:
        _write(stage, "written")
        abort(HTTPStatus.NOT_FOUND)

    stage.ask(view, expect=HTTPStatus.NOT_FOUND)
    stage.expect_committed([])


@scenario("unhandled-error", "Unhandled error", check="lifecycle.failed-request-ends")
def unhandled_error(stage: Stage) -> None:
    """Raise an unhandled exception. The response is 500, and the session ends as well."""

    def view() -> str:
        _write(stage, "written")
        message = "This scenario raises an unhandled error."
        raise LookupError(message)

    stage.ask(view, expect=HTTPStatus.INTERNAL_SERVER_ERROR)
    stage.expect_committed([])


@scenario("duplicate-key", "Duplicate key, then a query", check="lifecycle.failed-flush")
def duplicate_key(stage: Stage) -> None:
    """Swallow the error of a failed flush. It does not break later requests."""
    stage.change("INSERT INTO trial_entry (name, value) VALUES ('{}/taken', 0)")
    errors: list[str] = []

    def twice() -> str:
        try:
            _write(stage, "taken")
        except IntegrityError as error:
            errors.append(type(error).__name__)
        try:
            return _count()
        except PendingRollbackError as error:
            errors.append(type(error).__name__)
            return "refused until the rollback"

    stage.ask(twice)
    raised = " and then ".join(errors) or "no error"
    stage.fact(f"The first request got {raised}, and did not roll back", holds=len(errors) == 2)  # noqa: PLR2004
    answer = stage.ask(_count)
    stage.fact(f"The query of the next request returned {answer.text}", holds=answer.text.isdecimal())
    stage.expect_committed(["taken"])


def _write(stage: Stage, word: str) -> None:
    db_session.add(Entry(name=stage.name(word)))
    db_session.flush()


def _count() -> str:
    return str(db_session.scalar(select(func.count()).select_from(Entry)))

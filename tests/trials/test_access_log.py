import re
from collections.abc import Iterator

import pytest
from flask import Flask, Response
from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from trials.access_log import RequestLog, current

STATEMENTS = create_engine("sqlite://")


@pytest.fixture
def app(caplog: pytest.LogCaptureFixture) -> Flask:
    caplog.set_level("INFO", "request")
    app = Flask(__name__)
    app.wsgi_app = RequestLog(app.wsgi_app, "sqlite")  # type: ignore[method-assign]

    @app.get("/two")
    def two() -> str:
        ask_twice()
        return "asked"

    @app.get("/streamed")
    def streamed() -> Response:
        def parts() -> Iterator[str]:
            yield "first"
            ask_twice()
            yield "last"

        return Response(parts())

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.get("/state.json")
    def state() -> tuple[str, int]:
        return "ill", 503

    @app.get("/nested")
    def nested() -> str:
        get(app, "/two")
        with STATEMENTS.connect() as connection:
            connection.execute(text("SELECT 3"))
        return "ok"

    return app


def test_a_request_is_logged_with_its_status_and_statements(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    RequestLog(app.wsgi_app)  # a second log must not count statements twice

    get(app, "/two")

    assert re.fullmatch(r"status=200 ms=\d+\.\d statements=2 GET /two", caplog.messages[0])


def test_a_streamed_response_is_logged_at_its_end(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    answer = app.test_client().get("/streamed", buffered=False)
    before = list(caplog.messages)
    answer.get_data()
    answer.close()

    assert before == []
    assert [message.partition("statements=")[2] for message in caplog.messages] == ["2 GET /streamed"]


def test_a_nested_request_has_its_own_line_and_count(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    get(app, "/nested")

    counts = [message.partition("statements=")[2] for message in caplog.messages]
    assert counts == ["2 GET /two", "1 GET /nested"]


def test_a_valid_request_id_is_kept_and_others_are_replaced(app: Flask) -> None:
    given = {"kept.1-A_": "kept.1-A_", "not kept": None, "x" * 65: None, "": None}
    answers = {id_: get(app, "/two", {"X-Request-ID": id_}).headers["X-Request-ID"] for id_ in given}

    assert all(
        answers[id_] == kept if kept else re.fullmatch("[0-9a-f]{16}", answers[id_])
        for id_, kept in given.items()
    )


def test_health_checks_are_logged_only_if_they_fail(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    get(app, "/healthz")
    get(app, "/state.json")

    assert [message.rpartition(" ")[2] for message in caplog.messages] == ["/state.json"]


def test_no_request_is_current_after_it_has_ended(app: Flask) -> None:
    get(app, "/two")

    assert current.get() is None


def get(app: Flask, path: str, headers: dict[str, str] | None = None) -> TestResponse:
    """Return a response that was read to its end and closed, as a server does it."""
    return app.test_client().get(path, headers=headers, buffered=True)


def ask_twice() -> None:
    with STATEMENTS.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.execute(text("SELECT 2"))

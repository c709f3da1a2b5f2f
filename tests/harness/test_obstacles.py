"""The code that keeps a request from a view is named, with its file and its line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect, request_started
from sqlalchemy import create_engine, text
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response as BaseResponse

from flask_sqlalchemy_testbed.battery.obstacles import Witness, in_turn, name_of
from flask_sqlalchemy_testbed.battery.requests import add_view, get

VIEW = "/testbed/view"
HERE = Path(__file__).relative_to(Path.cwd())


def line_of(function: Callable[..., object]) -> str:
    return f"({HERE}, line {function.__code__.co_firstlineno})"


def to_login() -> BaseResponse:
    return redirect("/login")


async def later() -> BaseResponse:
    return redirect("/login")


def refuse() -> None:
    abort(403)


def pop_language(_: str | None, values: dict[str, object] | None) -> None:
    assert values is not None
    values.pop("language")


def spoil(response: Response) -> Response:
    response.status_code = 503
    return response


def commit(_: Response) -> Response:
    message = "The commit failed."
    raise RuntimeError(message)


def save(_: BaseException | None) -> None:
    message = "The row was not saved."
    raise RuntimeError(message)


def query(_: Flask, **__: object) -> None:
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT missing"))


class Closed(Flask):
    def full_dispatch_request(self) -> Response:
        return self.make_response(("closed", 503))


def before(function: Any) -> Flask:
    app = Flask("shop")
    app.before_request(function)
    return app


def changed_values() -> Flask:
    app = Flask("shop")
    app.url_value_preprocessor(pop_language)
    return app


def after(function: Callable[[Response], Response]) -> Flask:
    app = Flask("shop")
    app.after_request(function)
    return app


def at_the_end(register: Callable[[Flask, Any], object]) -> Flask:
    app = Flask("shop")
    register(app, save)
    return app


def receiving() -> Flask:
    app = Flask("shop")
    request_started.connect(query, app)
    return app


def inside() -> Flask:
    app = Flask("shop")
    app.wsgi_app = DispatcherMiddleware(NotFound(), {"/shop": app.wsgi_app})  # type: ignore[method-assign]
    return app


@pytest.mark.parametrize(
    ("app", "status", "cause"),
    [
        (before(to_login), "302", f"{__name__}.to_login {line_of(to_login)} answered it before the view"),
        (before(later), "302", f"{__name__}.later {line_of(later)} answered it before the view"),
        (before(refuse), "403", f"{__name__}.refuse {line_of(refuse)} raised Forbidden before the view"),
        (
            changed_values(),
            "500",
            f"{__name__}.pop_language {line_of(pop_language)} raised KeyError: 'language' before the view",
        ),
        (after(spoil), "503", f"{__name__}.spoil {line_of(spoil)} changed the response of the view"),
        (
            after(commit),
            "500",
            f"{__name__}.commit {line_of(commit)} raised RuntimeError: The commit failed after the view",
        ),
        *[
            (
                at_the_end(register),
                "500",
                f"{__name__}.save {line_of(save)} raised RuntimeError: The row was not saved after the view",
            )
            for register in (Flask.teardown_request, Flask.teardown_appcontext)
        ],
        (
            receiving(),
            "500",
            (
                "OperationalError: (sqlite3.OperationalError) no such column: missing was raised in"
                f" {HERE}, line {query.__code__.co_firstlineno + 2}"
            ),
        ),
        (inside(), "404", "the WSGI middleware werkzeug.middleware.dispatcher.DispatcherMiddleware ("),
        (Closed("shop"), "503", f"{__name__}.Closed ("),
    ],
)
def test_the_cause_is_named(app: Flask, status: str, cause: str) -> None:
    add_view(app, VIEW, lambda: "reached")

    answer, found = Witness(app).answer(VIEW)

    assert answer.status.startswith(status)
    assert found.startswith(cause)


def test_the_app_is_as_it_was_afterwards() -> None:
    app = before(to_login)
    add_view(app, VIEW, lambda: "reached")
    functions = app.before_request_funcs

    Witness(app).answer(VIEW)

    assert app.before_request_funcs is functions
    assert "handle_user_exception" not in vars(app)
    assert get(app, VIEW).startswith("302")


def test_a_reason_that_several_answers_have_is_said_once() -> None:
    lost, full = "500 (OperationalError: gone away)", "503 (disk full)"

    assert in_turn([lost, lost, "", full, lost, full]) == f"{lost}, 500, 200, {full}, 500, 503"


def same(*_: str) -> Callable[[Any], Any]:
    return lambda code: code


@same()
@same(
    "class",
)
async def with_decorators() -> None: ...


@same()
class WithDecorators: ...


@pytest.mark.parametrize("code", [with_decorators, WithDecorators])
def test_the_line_of_a_decorated_function_or_class_is_that_of_its_name(code: Any) -> None:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = (
        number for number, line in enumerate(lines, 1) if re.match(rf".*(def|class) {code.__name__}\b", line)
    )

    assert name_of(code).endswith(f"({HERE}, line {number})")

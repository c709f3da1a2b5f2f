"""Log the requests of the battery in: `--as-user module:function`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import got_request_exception

from flask_sqlalchemy_testbed.battery.requests import BAD_REQUEST, Address, client_of, headers_of, reach_at
from flask_sqlalchemy_testbed.battery.threads import Task
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.discovery import find
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.raised import in_words, line_of_app

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


# The limit of a check is longer: it would end the check first, and report the hang as its failure.
LOGIN_WITHIN = 10.0


def log_in(path: str, app: Flask, address: Address, refused: list[str] | None = None) -> Address:
    """Run the user's function, and return the address with the headers that its client sends from then on.

    Args:
        path: The function, as `module:function`; empty if requests need no login.
        app: An app on the database that the requests will use.
        address: The address of the app.
        refused: A list that gets a clause on each request that the app answered with an error.

    Raises:
        SubjectError: The function is not found, it raised, or it did not end in time.
    """
    reach_at(app, address)
    if not path:
        return address
    function = find(path, flag("as-user"))
    client, errors = client_of(app), list[str]()
    _note_refused(client, [] if refused is None else refused, errors)

    def note(_: Flask, exception: BaseException, **__: object) -> None:
        line = line_of_app(exception)
        errors.append(f"{in_words(exception)}{f', raised in {line}' if line else ''}")

    # The caller may be in a context, or have a session in this thread; another thread has neither.
    with got_request_exception.connected_to(note, app):
        task = Task(lambda: function(app, client))
        is_ended = task.ended.wait(LOGIN_WITHIN)
    if not is_ended:
        place = f"; it was in {task.place}" if task.place else ""
        last = f"; the last error was {errors[-1]}" if errors else ""
        message = f"{path} did not end within {LOGIN_WITHIN:g} s{place}{last}. Have this function end"
        raise SubjectError(message)
    try:
        task.result()
    except Exception as error:
        line = line_of_app(error)
        place = f", raised in {line}" if line else ""
        message = f"{flag('as-user')} {path!r} raised {type(error).__name__}: {error}{place}"
        raise SubjectError(message) from error
    return replace(address, headers=headers_of(client, address))


def _note_refused(client: FlaskClient, refused: list[str], errors: list[str]) -> None:
    """Note each request of a client that the app answers with an error."""
    original = client.open

    def noting(*arguments: Any, **options: Any) -> TestResponse:
        errors.clear()
        response = original(*arguments, **options)
        if response.status_code >= BAD_REQUEST:
            to = f"{response.request.method} {response.request.path}"
            error = f": {errors[-1]}" if errors else ""
            refused.append(f"its request {to} was answered with {response.status}{error}")
        return response

    client.open = noting  # type: ignore[method-assign] # also called by `get`, `post` and the like

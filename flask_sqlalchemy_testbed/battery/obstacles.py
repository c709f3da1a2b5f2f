"""Name the code of an app that keeps a request from a view."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import request_started
from werkzeug.exceptions import HTTPException

from flask_sqlalchemy_testbed.battery.requests import BAD_REQUEST, OK, Answer, ask
from flask_sqlalchemy_testbed.subject.raised import line_of_app
from flask_sqlalchemy_testbed.subject.shown import definition_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flask import Flask, Response

# The end of the clause on a function that keeps no request from the view, but a view from `session.begin()`.
USED = "used the session before the view"


class Witness:
    """Watches the functions that Flask calls before and after the view.

    Args:
        app: The app.
        is_in_use: Whether the session is in use; the first function after which it is counts as the cause.
    """

    def __init__(self, app: Flask, is_in_use: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._is_in_use = is_in_use
        self._has_started = False
        self._seen: list[str] = []
        self._error: BaseException | None = None

    def answer(self, path: str) -> tuple[Answer, str]:
        """Send a request to a view; return the answer, and a clause on the code that kept it from a success.

        Args:
            path: The path of the view.
        """
        try:
            with self._watching():
                answer = ask(self._app, path)
        except Exception as error:  # noqa: BLE001 - any error of the app
            self._error = self._error or error
            answer = Answer(status="500 INTERNAL SERVER ERROR")
        return answer, self._cause()

    def _cause(self) -> str:
        if self._seen:
            return self._seen[0]
        if self._error is not None:
            return f"{_in_words(self._error)} was raised{_place_of(self._error)}"
        if not self._has_started and not inspect.ismethod(self._app.wsgi_app):
            return f"the WSGI middleware {name_of(self._app.wsgi_app)} answered it"
        return f"{name_of(type(self._app))}, the class of the app, answered it"

    @contextmanager
    def _watching(self) -> Iterator[None]:
        app: Any = self._app
        before, values, after = (
            app.before_request_funcs,
            app.url_value_preprocessors,
            app.after_request_funcs,
        )
        ends, last = app.teardown_request_funcs, app.teardown_appcontext_funcs
        handle = app.handle_user_exception
        # A view of the battery is in no blueprint: the functions under None alone are called for it.
        app.before_request_funcs = {**before, None: [*map(self._before, before.get(None, ()))]}
        app.url_value_preprocessors = {**values, None: [*map(self._before, values.get(None, ()))]}
        app.after_request_funcs = {**after, None: [*map(self._after, after.get(None, ()))]}
        app.teardown_request_funcs = {**ends, None: [*map(self._end, ends.get(None, ()))]}
        app.teardown_appcontext_funcs = [*map(self._end, last)]
        app.handle_user_exception = self._handling(handle)
        try:
            with request_started.connected_to(self._start, app):
                yield
        finally:
            app.before_request_funcs, app.url_value_preprocessors = before, values
            app.after_request_funcs = after
            app.teardown_request_funcs, app.teardown_appcontext_funcs = ends, last
            del app.handle_user_exception
            if app.handle_user_exception != handle:  # It was the app's own attribute.
                app.handle_user_exception = handle

    def _start(self, _: Flask, **__: object) -> None:
        self._has_started = True

    def _handling(self, handle: Callable[[Exception], Any]) -> Callable[[Exception], Any]:
        def handle_user_exception(error: Exception) -> Any:
            self._error = error
            return handle(error)

        return handle_user_exception

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            try:
                response = self._app.ensure_sync(function)(*arguments)
            except BaseException as error:
                self._seen.append(f"{name_of(function)} raised {_in_words(error)} before the view")
                raise
            if response is not None:
                self._seen.append(f"{name_of(function)} answered it before the view")
            elif self._is_in_use():
                self._seen.append(f"{name_of(function)} {USED}")
            return response

        return watched

    def _end(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(error: BaseException | None) -> None:
            try:
                self._app.ensure_sync(function)(error)
            except BaseException as raised:
                self._seen.append(f"{name_of(function)} raised {_in_words(raised)} after the view")
                raise

        return watched

    def _after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(response: Response) -> Any:
            was_success = response.status_code < BAD_REQUEST
            try:
                changed = self._app.ensure_sync(function)(response)
            except BaseException as error:
                self._seen.append(f"{name_of(function)} raised {_in_words(error)} after the view")
                raise
            if was_success and changed.status_code >= BAD_REQUEST:
                self._seen.append(f"{name_of(function)} changed the response of the view")
            return changed

        return watched


def in_turn(failures: Sequence[str]) -> str:
    """Return the statuses of answers in their order; a reason stands only where it is met first.

    Args:
        failures: The status and the reason of each failed request, such as `500 (KeyError)`; empty for a
            success.
    """
    answers = [found or str(OK) for found in failures]
    return ", ".join(
        answer.partition(" ")[0] if answer in answers[:number] else answer
        for number, answer in enumerate(answers)
    )


def name_of(code: Any) -> str:
    """Return the name of a function, a method, an object or a class, with its file and its line.

    Args:
        code: The object; decorators that keep `__wrapped__` are passed over.
    """
    while isinstance(code, partial):
        code = code.func
    code = inspect.unwrap(code)
    if not (inspect.isroutine(code) or inspect.isclass(code)):
        code = type(code)
    name = f"{code.__module__}.{code.__qualname__.rpartition('<locals>.')[2]}"
    try:
        file, line = definition_of(code)
    except (OSError, TypeError):  # Made in C, or by exec.
        return name
    return f"{name} ({file}, line {line})"


def _in_words(error: BaseException) -> str:
    """Return the type of an error and its first line; an error that is a response has no more to say."""
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    has_line = line and not isinstance(error, HTTPException)
    return f"{type(error).__name__}: {line}" if has_line else type(error).__name__


def _place_of(error: BaseException) -> str:
    """Return the last line of the app, else of a library, before an error.

    It is empty if Flask raised the error, as for a page not found.
    """
    if line := line_of_app(error):
        file, _, number = line.rpartition(":")
        return f" in {file}, line {number}"
    traceback, place = error.__traceback__, ""
    while traceback is not None:
        code, module = traceback.tb_frame.f_code, traceback.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in {"flask", "werkzeug", "flask_sqlalchemy_testbed", "asgiref"}:
            place = f" in {shown(code.co_filename)}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place

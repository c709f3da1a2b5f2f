"""Answer every error as ``application/problem+json`` (RFC 9457), never with a traceback.

The member ``errors`` lists the errors by field; the field ``body`` means the whole body. An
unavailable database is a 503 with ``Retry-After``.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask, Response, current_app
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from .faults import Fault, fault_of

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1


class Problem(HTTPException):
    """An error that is answered with ``status`` and a list of errors for each field."""

    def __init__(self, status: int, detail: str, errors: Mapping[str, Iterable[str]]) -> None:
        super().__init__(detail)
        self.code = status
        self.errors = errors


def init_app(app: Flask) -> None:
    """Answer the HTTP errors and the database errors of ``app``.

    There is no handler for ``Exception``, so Flask still logs unexpected errors, and raises
    them under ``TESTING``.
    """
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(SQLAlchemyError, _answer_fault)


def answer(error: HTTPException) -> Response:
    """Return ``error`` as a problem, with its own headers, such as ``Allow``."""
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value] # the argument of abort(response)
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": error.name,
        "status": error.code,
        "detail": error.description or error.name,
    }
    if isinstance(error, Problem):
        problem["errors"] = {_printable(name): list(texts) for name, texts in error.errors.items()}
    response = Response(json.dumps(problem), error.code, mimetype=MEDIA_TYPE)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers.add(name, value)
    return response


def _answer_fault(error: SQLAlchemyError) -> Response:
    fault = fault_of(error)
    if fault not in {Fault.AWAY, Fault.CONTENDED}:
        raise error
    # The whole error would show the statement and its values.
    cause = str(getattr(error, "orig", None) or error).partition("\n")[0]
    current_app.logger.warning("The database is %s: %s", fault.name.lower(), cause)
    detail = {
        Fault.AWAY: "The database cannot be reached or has no room. Try again.",
        Fault.CONTENDED: "Too many requests use the same rows. Try again.",
    }[fault]
    return answer(ServiceUnavailable(detail, retry_after=RETRY_AFTER_SECONDS))


def _printable(name: str) -> str:
    """Escape lone surrogates in the name of a field, which comes from the client."""
    return name.encode(errors="backslashreplace").decode()

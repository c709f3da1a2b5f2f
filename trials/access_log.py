"""Log a line for each request: its id, backend, status, time and number of statements."""

import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from sqlalchemy import event
from sqlalchemy.engine import Engine

HEADER = "X-Request-ID"
# An id from a proxy; other values are replaced, so that they appear neither in the log nor in the response.
VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# The health check and each open page request these once a second: only failures are logged.
QUIET = {"/healthz", "/state.json", "/failover.json"}

log = logging.getLogger("request")


@dataclass
class Request:
    """A request that is in progress."""

    id: str
    backend: str
    method: str
    path: str
    begun: float = field(default_factory=time.monotonic)
    status: str = "-"
    statements: int = 0


# The request of this thread or task; a thread that a view starts has none.
current: ContextVar[Request | None] = ContextVar("request", default=None)


class RequestLog:
    """A WSGI middleware around the app of a backend.

    A request keeps a valid id from its ``X-Request-ID``, or gets a new one. The response has the id in the
    same header, and `log_lines` adds it to each line that is logged during the request. The request's own
    line is logged at the end of the response, also of a streamed one.
    """

    def __init__(self, app: WSGIApplication, backend: str = "-") -> None:
        self._app = app
        self._backend = backend

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the app."""
        before = current.get()
        given = environ.get(f"HTTP_{HEADER.upper().replace('-', '_')}", "")
        path = quote(f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".encode("latin-1"))
        request = Request(
            given if VALID_ID.fullmatch(given) else secrets.token_hex(8),
            self._backend,
            environ["REQUEST_METHOD"],
            path,
        )
        environ["trials.request_id"] = request.id
        current.set(request)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            request.status = status[:3]
            return start_response(status, [*headers, (HEADER, request.id)], *error)

        try:
            body = self._app(environ, start)
        except BaseException:
            _log(request)
            raise  # The server logs it as part of this request.
        return _Body(body, request, before)


class _Body:
    """The body of the response; the request ends when it is closed."""

    def __init__(self, body: Iterable[bytes], request: Request, before: Request | None) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._request = request
        self._before = before
        self._failed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException:
            self._failed = True  # The server logs it after it closes the body.
            raise

    def close(self) -> None:
        """Close the app's body, and log the request."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            _log(self._request)
            if not self._failed and current.get() is self._request:
                current.set(self._before)


def _log(request: Request) -> None:
    if request.path in QUIET and request.status == "200":
        return
    spent = (time.monotonic() - request.begun) * 1000
    fields = request.status, spent, request.statements, request.method, request.path
    log.info("status=%s ms=%.1f statements=%d %s %s", *fields)


@event.listens_for(Engine, "before_cursor_execute")
def _count(*_: object) -> None:
    request = current.get()
    if request is not None:
        request.statements += 1

"""One line in the log for each request: its id, backend, status, time, and how many statements it took."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import event
from sqlalchemy.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "X-Request-ID"
# What a proxy may have named it; anything else is not repeated, neither in the log nor in the answer.
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Asked once a second by the health check and by each open page: only their failures are news.
QUIET = {"/healthz", "/state.json"}

log = logging.getLogger("request")


@dataclass
class Request:
    """A request that is being answered."""

    id: str
    backend: str
    method: str
    path: str
    begun: float = field(default_factory=time.monotonic)
    status: str = "-"
    statements: int = 0


# The thread's, or the task's; a thread that a view starts of itself has none.
current: ContextVar[Request | None] = ContextVar("request", default=None)


class RequestLog:
    """The WSGI app around ``app``, the one of that ``backend``.

    A request keeps the id that its ``X-Request-ID`` gives it, if that is sane, or gets one; the answer
    says it in the same header, and `log_lines` in each line that is logged meanwhile. Its own line is
    written when the answer is at its end, a streamed one too.
    """

    def __init__(self, app: WSGIApplication, backend: str = "-") -> None:
        self._app = app
        self._backend = backend

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the app does."""
        before = current.get()
        given = environ.get(f"HTTP_{HEADER.upper().replace('-', '_')}", "")
        path = quote(f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".encode("latin-1"))
        request = Request(
            given if SANE.fullmatch(given) else secrets.token_hex(8),
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
            _tell(request)
            raise  # The server logs it, as a part of this request.
        return _Body(body, request, before)


class _Body:
    """The answer's body; the request ends when it is closed."""

    def __init__(self, body: Iterable[bytes], request: Request, before: Request | None) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._request = request
        self._before = before
        self._failed = False

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException:
            self._failed = True  # The server logs it after it has closed this.
            raise

    def close(self) -> None:
        """Close the app's body, and write the line."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            _tell(self._request)
            if not self._failed and current.get() is self._request:
                current.set(self._before)


def _tell(request: Request) -> None:
    if request.path in QUIET and request.status == "200":
        return
    spent = (time.monotonic() - request.begun) * 1000
    said = request.status, spent, request.statements, request.method, request.path
    log.info("status=%s ms=%.1f statements=%d %s %s", *said)


@event.listens_for(Engine, "before_cursor_execute")
def _count(*_: object) -> None:
    request = current.get()
    if request is not None:
        request.statements += 1

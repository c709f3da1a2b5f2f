"""Requests to the views of the battery, through the whole stack of the app under test.

The result of a view is read where the view returns it: an app may wrap, format or replace its responses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any, TypeVar

from flask import Flask, got_request_exception, has_request_context, request
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flask_sqlalchemy_testbed.subject.raised import by_hook, handler_of, in_words, line_of_app

F = TypeVar("F", bound=Callable[..., Any])

OK, BAD_REQUEST, ERROR = 200, 400, 500
# The key of an app's address in `app.extensions`, and that of an answer in the environment of its request.
ADDRESS, ANSWER = "testbed.address", "testbed.answer"
COOKIE = "HTTP_COOKIE"
# The argument of a view that is the host: each rule of an app with host matching has one.
HOST = "testbed_host"

# The first would be 127.0.0.1, which some apps treat in another way.
_clients = count(2)


@dataclass(frozen=True, slots=True)
class Address:
    """The part that all requests to an app have in common."""

    host: str = "localhost"
    """The value of the header `Host`."""
    root: str = ""
    """The path that the server takes off before the app sees the rest (SCRIPT_NAME)."""
    prefix: str = ""
    """The path that the app sees before each path of the battery."""
    method: str = "GET"
    client: str = ""
    """The address of the client; empty for a new one in each request: an app may limit the rate of one."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers of the logged-in client, under their names in WSGI."""

    @property
    def base_url(self) -> str:
        """Return the URL of the app; it is one of HTTPS, to which apps redirect other requests."""
        return f"https://{self.host}{self.root}"

    def environ(self, path: str) -> dict[str, Any]:
        """Return the WSGI environment of a request.

        Args:
            path: The path of a view of the battery.
        """
        environ = EnvironBuilder(f"{self.prefix}{path}", self.base_url, method=self.method).get_environ()
        number = next(_clients)
        client = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return {**environ, "REMOTE_ADDR": self.client or client, **self.headers}

    def as_dict(self) -> dict[str, Any]:
        """Return the address as plain values, for another process."""
        return asdict(self)


@dataclass(slots=True)
class Answer:
    """The result of a request to a view of the battery."""

    status: str = ""
    """The status line of the response."""
    text: str = ""
    """The body of the response."""
    location: str = ""
    """The target of a redirection."""
    is_reached: bool = False
    """Whether the view was called."""
    is_handled: bool = False
    """Whether an error handler of the battery was called."""
    has_returned: bool = False
    """Whether the view returned, or an error handler of the battery did."""
    error: str = ""
    """The error that the view raised, or a function of the app before or after it, in words.

    Empty for one that is a response.
    """
    met: str = ""
    """An error outside the view that other code may have caused, in words, with the line of the app."""
    handler: str = ""
    """The error handler of the app that Flask calls for the error of the view, as a phrase."""
    value: Any = None
    """The value that the view returned, if that is data, not a response or a stream."""

    @property
    def code(self) -> int:
        """Return the status as a number."""
        return int(self.status.partition(" ")[0])

    @property
    def failure(self) -> str:
        """Return the status, with the error that was raised or met."""
        return ": ".join(filter(None, [self.status, self.error or self.met]))

    @property
    def is_success(self) -> bool:
        """Return whether the view returned and the app took that for a success."""
        return self.has_returned and self.code < BAD_REQUEST

    def note(self, value: Any) -> None:
        """Note what the view, or an error handler of the battery, returned."""
        value = value[0] if isinstance(value, tuple) else value
        self.has_returned = True
        self.value = value if isinstance(value, (str, list, dict)) else None


def addresses(app: Flask) -> Iterator[Address]:
    """Yield the addresses under which the app may be served, the most probable first.

    Args:
        app: An app; its own URL adapter tells the host.
    """
    adapter = app.create_url_adapter(None)
    trusted = [host.removeprefix(".") for host in app.config.get("TRUSTED_HOSTS") or ()]
    root = (app.config.get("APPLICATION_ROOT") or "").rstrip("/")
    hosts = [*([adapter.get_host(None)] if adapter is not None else []), *trusted] or ["localhost"]
    places = [(root, ""), ("", root)] if root else [("", "")]
    for method in ("GET", "POST"):
        for client in ("", "127.0.0.1"):
            for host in dict.fromkeys(hosts):
                yield from (Address(host, *place, method, client) for place in places)


def address_of(app: Flask) -> Address:
    """Return the address that `reach_at` has set, else the most probable one."""
    return app.extensions.get(ADDRESS) or next(addresses(app))


def reach_at(app: Flask, address: Address) -> None:
    """Send later requests to the app there, past the protections that extensions let tests switch off."""
    if ADDRESS not in app.extensions:
        _note_handled(app)
    app.extensions[ADDRESS] = address
    # https://flask-wtf.readthedocs.io/en/latest/config/
    app.config["WTF_CSRF_ENABLED"] = False
    # https://flask-limiter.readthedocs.io/en/stable/configuration.html
    for limiter in app.extensions.get("limiter", ()):
        limiter.enabled = False


def add_view(app: Flask, path: str, view: Callable[..., Any]) -> None:
    """Add a view to `app` for requests of any address, under an endpoint made from its path."""

    def noting(**values: Any) -> Any:
        values.pop(HOST, None)
        answer = _answer()
        answer.is_reached = True
        try:
            value = app.ensure_sync(view)(**values)
        except HTTPException:
            raise
        except Exception as error:
            line = line_of_app(error, last=True)
            answer.error = f"{in_words(error)}{f', raised in {line}' if line else ''}"
            answer.handler = handler_of(app, error)
            raise
        answer.note(value)
        return value

    host: Any = {"host": f"<{HOST}>"} if app.url_map.host_matching else {}
    app.add_url_rule(path, endpoint_of(path), noting, methods=["GET", "POST"], **host)


def endpoint_of(path: str) -> str:
    """Return the endpoint of the view at a path of the battery."""
    return path.strip("/").replace("/", "-")


def route(app: Flask, path: str) -> Callable[[F], F]:
    """Return a decorator that adds a view as `add_view` does."""

    def add(view: F) -> F:
        add_view(app, path, view)
        return view

    return add


def add_error_handler(app: Flask, error: type[Exception], handler: Callable[[Any], Any]) -> None:
    """Have `handler` answer requests whose views raise that error."""

    def noting(raised: Exception) -> Any:
        answer = _answer()
        answer.is_handled = True
        value = handler(raised)
        answer.note(value)
        return value

    app.register_error_handler(error, noting)


def ask(app: Flask, path: str, answer: Answer | None = None) -> Answer:
    """Send a request, read the response and close it, as PEP 3333 has each server do.

    Args:
        app: An app with a view at the path.
        path: The path of the view.
        answer: The answer to fill in, also if the app raises; a new one by default.

    Raises:
        Exception: The app let it pass to the server.
    """
    answer = answer or Answer()
    body, answer.status, headers = run_wsgi_app(
        app, {**address_of(app).environ(path), ANSWER: answer}, buffered=True
    )
    answer.text, answer.location = b"".join(body).decode(errors="replace"), headers.get("Location", "")
    return answer


def get(app: Flask, path: str) -> Any:
    """Return what the view or the error handler returned, or the text of the response to its stream.

    If the app took the request for a failure, return the status line, with the error of the view.
    """
    answer = ask(app, path)
    if not answer.is_success:
        return answer.failure
    return answer.text if answer.value is None else answer.value


def ask_with(client: FlaskClient, path: str) -> Answer:
    """Send a request with the result of `client_of`, as `ask` does without a client."""
    answer, address = Answer(), address_of(client.application)
    own = {ANSWER: answer, "REMOTE_ADDR": address.environ(path)["REMOTE_ADDR"]}
    response = client.open(path, method=address.method, environ_overrides=own)
    answer.status, answer.text = response.status, response.text
    return answer


def client_of(app: Flask) -> FlaskClient:
    """Return a test client of the app's own class that sends requests to the app's address.

    It closes each response, as PEP 3333 has each server do. Flask's own leaves that to its user: a session
    that lasts until its response is closed would stay open.
    """
    kind: type[FlaskClient] = app.test_client_class or FlaskClient
    address, usual = address_of(app), {"localhost", app.config.get("SERVER_NAME")}

    class Client(kind):  # type: ignore[misc,valid-type] # of the app under test
        # Not `open`, which the app's own class may extend.
        def run_wsgi_app(self, environ: Any, buffered: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
            environ["wsgi.url_scheme"] = "https"
            if environ.get("HTTP_HOST") in usual:
                environ["HTTP_HOST"] = address.host
            if address.prefix and environ["SCRIPT_NAME"] == address.prefix:
                environ["SCRIPT_NAME"], environ["PATH_INFO"] = "", address.prefix + environ["PATH_INFO"]
            return super().run_wsgi_app(environ, buffered=True)

        def session_transaction(self, *arguments: Any, **options: Any) -> Any:
            options = options if arguments else {"base_url": address.base_url, **options}
            return super().session_transaction(*arguments, **options)

    client = Client(app, app.response_class, use_cookies=True)
    client.environ_base.update({name: value for name, value in address.headers.items() if name != COOKIE})
    for cookie in filter(None, address.headers.get(COOKIE, "").split("; ")):
        name, _, value = cookie.partition("=")
        client.set_cookie(name, value, domain=address.host.partition(":")[0])
    return client


def headers_of(client: FlaskClient, address: Address) -> dict[str, str]:
    """Return the headers that a client sends to the app, with its cookies, under their names in WSGI."""
    environ = address.environ("/")
    # There is no public list of a client's cookies.
    client._add_cookies_to_wsgi(environ)  # noqa: SLF001
    sent = {**client.environ_base, **environ}
    return {name: value for name, value in sent.items() if name.startswith("HTTP_") and name != "HTTP_HOST"}


def _answer() -> Answer:
    """Return the answer of the current request; a new one if it did not come from `ask`."""
    found = request.environ.get(ANSWER) if has_request_context() else None
    return found if isinstance(found, Answer) else Answer()


def _note_error(_: Flask, exception: BaseException, **__: object) -> None:
    """Note an error that a function of the app raised before or after the view, or in place of an answer."""
    answer = _answer()
    if clause := by_hook(exception):
        answer.error = f"{in_words(exception)}{clause}"
    elif line := line_of_app(exception):
        answer.met = f"{in_words(exception)}, met in {line}"


def _note_handled(app: Flask) -> None:
    """Note the errors that error handlers of the app answer, too: Flask sends no signal for them."""
    watched: Any = app
    handle = watched.handle_user_exception

    def noting(error: Exception) -> Any:
        if not isinstance(error, HTTPException):
            _note_error(app, error)
        return handle(error)

    watched.handle_user_exception = noting


got_request_exception.connect(_note_error)

"""The address of an app's views is found from its configuration and with requests."""

import sys
from types import ModuleType
from typing import Any

import pytest
from flask import Flask, abort, request, session
from flask.testing import FlaskClient
from sqlalchemy import create_engine
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from flask_sqlalchemy_testbed.battery.preflight import reach
from flask_sqlalchemy_testbed.battery.requests import Address, add_view, addresses, ask_with, client_of, get


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Address("localhost")),
        ({"SERVER_NAME": "shop.example:5000"}, Address("shop.example:5000")),
        ({"TRUSTED_HOSTS": [".shop.example"]}, Address("shop.example")),
        ({"SERVER_NAME": "a.example", "TRUSTED_HOSTS": ["b.example"]}, Address("a.example")),
        ({"APPLICATION_ROOT": "/shop/"}, Address("localhost", root="/shop")),
    ],
)
def test_the_most_probable_address_comes_from_the_configuration(
    config: dict[str, Any], expected: Address
) -> None:
    app = Flask("shop")
    app.config.update(config)

    assert next(addresses(app)) == expected


def inside(app: Flask) -> Flask:
    """Return the app, below the path /shop alone, as a middleware mounts it."""
    app.config.update(APPLICATION_ROOT="/shop", SECRET_KEY="of the tests")
    app.wsgi_app = DispatcherMiddleware(NotFound(), {"/shop": app.wsgi_app})  # type: ignore[method-assign]
    return app


def test_views_can_be_added_after_the_address_was_found() -> None:
    app = inside(Flask("shop"))

    assert reach(app, create_engine("sqlite://"), "") == Address("localhost", prefix="/shop")
    add_view(app, "/testbed/later", lambda: "later")
    assert get(app, "/testbed/later") == "later"
    assert ask_with(client_of(app), "/testbed/later").value == "later"


@pytest.fixture
def users() -> ModuleType:
    module = ModuleType("users_of_the_test")
    sys.modules[module.__name__] = module
    return module


def test_the_function_that_logs_in_is_run_once_at_the_right_address(users: ModuleType) -> None:
    app, calls = inside(Flask("shop")), []
    app.add_url_rule("/login", view_func=lambda: session.setdefault("user", "Ada"), methods=["POST"])

    @app.before_request
    def only_who_is_logged_in() -> None:
        if request.path != "/login" and "user" not in session:
            abort(401)

    def log_in(app: Flask, client: FlaskClient) -> None:
        calls.append(app)
        assert client.post("/login").text == "Ada"

    vars(users)["log_in"] = log_in
    address = reach(app, create_engine("sqlite://"), "users_of_the_test:log_in")

    assert (address.prefix, calls) == ("/shop", [app])
    assert "session=" in address.headers["HTTP_COOKIE"]


def test_requests_carry_the_headers_of_the_client(users: ModuleType) -> None:
    app = Flask("shop")

    @app.before_request
    def only_with_a_token() -> Response | None:
        return None if request.headers.get("Authorization") == "Bearer token" else Response(status=401)

    def log_in(_: Flask, client: FlaskClient) -> None:
        client.environ_base["HTTP_AUTHORIZATION"] = "Bearer token"

    vars(users)["log_in"] = log_in
    reach(app, create_engine("sqlite://"), "users_of_the_test:log_in")
    add_view(app, "/testbed/later", lambda: "later")

    assert get(app, "/testbed/later") == "later"
    assert ask_with(client_of(app), "/testbed/later").value == "later"


@pytest.mark.parametrize(
    "config", [{}, {"SERVER_NAME": "shop.example:5000"}, {"TRUSTED_HOSTS": ["shop.example"]}]
)
def test_the_function_may_write_the_session(users: ModuleType, config: dict[str, Any]) -> None:
    app = Flask("shop")
    app.config.update(config, SECRET_KEY="of the tests")
    app.before_request(lambda: None if "user" in session else Response(status=401))

    def log_in(_: Flask, client: FlaskClient) -> None:
        with client.session_transaction() as own:
            own["user"] = "Ada"

    vars(users)["log_in"] = log_in
    reach(app, create_engine("sqlite://"), "users_of_the_test:log_in")
    add_view(app, "/testbed/later", lambda: str(session["user"]))

    assert get(app, "/testbed/later") == "Ada"

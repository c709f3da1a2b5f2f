"""Make the app under test for gunicorn, and use it once before the workers fork.

`environment` passes the settings to `make` in environment variables.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from flask_sqlalchemy_testbed.battery.gunicorn_settings import PARENT
from flask_sqlalchemy_testbed.battery.requests import Address, ask, reach_at, route
from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.raised import by_hook, in_words
from flask_sqlalchemy_testbed.subject.subject import Subject
from flask_sqlalchemy_testbed.timeline.recorder import record_in_this_process

PREFIX, PATH = "TESTBED_SERVED_", "/testbed/who"


def environment(
    subject: Subject, uri: str, binds: Mapping[str, str], query: str, address: Address
) -> dict[str, str]:
    """Return the variables for `make`; `query` is the one that the views execute."""
    settings = {
        "SUBJECT": json.dumps(subject.as_dict()),
        "URI": uri,
        "BINDS": json.dumps(binds),
        "QUERY": query,
        "ADDRESS": json.dumps(address.as_dict()),
    }
    return {PARENT: str(os.getpid()), **{PREFIX + name: value for name, value in settings.items()}}


def make() -> tuple[Subject, Flask, str]:
    """Return the subject, its app at the address of its views, and the query for the views."""
    guard.inherit()
    guard.start()
    record_in_this_process()
    subject = Subject.from_dict(json.loads(os.environ[PREFIX + "SUBJECT"]))
    maker, uri = AppMaker(subject), os.environ[PREFIX + "URI"]
    maker.start(uri, json.loads(os.environ[PREFIX + "BINDS"]))
    event.listen(Pool, "connect", _record_process)
    app = maker.make(uri)
    reach_at(app, Address(**json.loads(os.environ[PREFIX + "ADDRESS"])))
    return subject, app, os.environ[PREFIX + "QUERY"]


def serve() -> Any:
    """Return the app, whose pool has a connection that this process opened."""
    # gunicorn calls its hooks after it has loaded the app, which may hang.
    end_with(int(os.environ[PARENT]))
    subject, app, whoami = make()

    @route(app, PATH)
    def who() -> ResponseReturnValue:
        connection = subject.session.connection()
        return {
            "process": os.getpid(),
            "opened_by": connection.info["testbed.opened_by"],
            "session": str(connection.scalar(text(whoami))),
        }

    first = _result(app)

    def application(_: dict[str, Any], start_response: Any) -> Any:
        """Answer any request with the result of the view, which the app may wrap or format."""
        # An app that fails before the fork has opened no connection for the workers.
        result = first if "error" in first else _result(app)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(result).encode()]

    return application


def _result(app: Flask) -> dict[str, Any]:
    """Return the result of the view, or the error of the request under the key `error`."""
    try:
        answer = ask(app, PATH)
    except Exception as error:  # noqa: BLE001 - any error of the app
        return {"error": f"{in_words(error)}{by_hook(error)}"}
    return answer.value if answer.is_success and answer.value else {"error": answer.failure}


def _record_process(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info["testbed.opened_by"] = os.getpid()

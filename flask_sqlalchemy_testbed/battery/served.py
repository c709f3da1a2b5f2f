"""Make the app under test for gunicorn, and use it once before the workers fork.

`environment` passes the settings to `serve` in environment variables.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from flask.typing import ResponseReturnValue
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from flask_sqlalchemy_testbed.battery.requests import Address, ask, reach_at, route
from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.subject import Subject
from flask_sqlalchemy_testbed.timeline.recorder import record_in_this_process

PREFIX, PATH = "TESTBED_SERVED_", "/testbed/who"


def environment(
    subject: Subject, uri: str, binds: Mapping[str, str], whoami: str, address: Address
) -> dict[str, str]:
    """Return the variables for `serve`; `whoami` is a query for the id of the server's session."""
    settings = {
        "SUBJECT": json.dumps(subject.as_dict()),
        "URI": uri,
        "BINDS": json.dumps(binds),
        "WHOAMI": whoami,
        "ADDRESS": json.dumps(address.as_dict()),
        "PARENT": str(os.getpid()),
    }
    return {PREFIX + name: value for name, value in settings.items()}


def serve() -> Any:
    """Return the app, whose pool has a connection that this process opened, at the address of its views."""
    # A run that is killed cannot end gunicorn, nor a killed gunicorn its workers, which may hang.
    end_with(int(os.environ[PREFIX + "PARENT"]))
    os.register_at_fork(after_in_child=lambda: end_with(os.getppid()))
    guard.inherit()
    guard.start()
    record_in_this_process()
    uri, whoami = (os.environ[PREFIX + name] for name in ("URI", "WHOAMI"))
    subject = Subject.from_dict(json.loads(os.environ[PREFIX + "SUBJECT"]))
    maker = AppMaker(subject)
    maker.start(uri, json.loads(os.environ[PREFIX + "BINDS"]))
    event.listen(Pool, "connect", _record_process)
    app = maker.make(uri)

    @route(app, PATH)
    def who() -> ResponseReturnValue:
        connection = subject.session.connection()
        return {
            "process": os.getpid(),
            "opened_by": connection.info["testbed.opened_by"],
            "session": str(connection.scalar(text(whoami))),
        }

    address = Address(**json.loads(os.environ[PREFIX + "ADDRESS"]))
    reach_at(app, address)
    answer = ask(app, PATH)
    if not answer.is_success:
        message = f"The app failed before the fork: {answer.text}"
        raise RuntimeError(message)

    def application(_: dict[str, Any], start_response: Any) -> Any:
        """Answer any request with the result of the view, which the app may wrap or format."""
        answer = ask(app, PATH)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer.value or {"error": answer.status}).encode()]

    return application


def _record_process(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info["testbed.opened_by"] = os.getpid()

"""The subject as gunicorn serves it: made, and used once, before the workers are forked.

`serve` finds what to make in the environment, where `environment` has put it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from flask import Flask, jsonify
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.subject import Subject
from flask_sqlalchemy_testbed.timeline.recorder import record_in_this_process

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

PREFIX = "TESTBED_SERVED_"


def environment(subject: Subject, uri: str, whoami: str) -> dict[str, str]:
    """What `serve` needs to know; `whoami` asks the server which of its sessions this is."""
    told = {"SUBJECT": json.dumps(subject.as_dict()), "URI": uri, "WHOAMI": whoami}
    return {PREFIX + name: value for name, value in told.items()}


def serve() -> Flask:
    """The app, whose pool holds a connection that this process has opened."""
    record_in_this_process()
    told = {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(PREFIX)}
    subject = Subject.from_dict(json.loads(told["SUBJECT"]))
    maker = AppMaker(subject)
    maker.start(told["URI"])
    event.listen(Pool, "connect", _remember_who_opened_it)
    app = maker.make(told["URI"])

    @app.get("/testbed/who")
    def who() -> ResponseReturnValue:
        connection = subject.session.connection()
        return jsonify(
            process=os.getpid(),
            opened_by=connection.info["testbed.opened_by"],
            session=str(connection.scalar(text(told["WHOAMI"]))),
        )

    answer = app.test_client().get("/testbed/who")
    if answer.status_code != 200:  # noqa: PLR2004
        message = f"The app cannot be warmed: {answer.text}"
        raise RuntimeError(message)
    return app


def _remember_who_opened_it(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info["testbed.opened_by"] = os.getpid()

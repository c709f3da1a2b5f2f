"""Log the requests of the battery in: `--as-user module:function`."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.battery.requests import Address, client_of, headers_of, reach_at
from flask_sqlalchemy_testbed.battery.threads import Task
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.discovery import find
from flask_sqlalchemy_testbed.subject.errors import SubjectError

if TYPE_CHECKING:
    from flask import Flask


def log_in(path: str, app: Flask, address: Address) -> Address:
    """Run the user's function, and return the address with the headers that its client sends from then on.

    Args:
        path: The function, as `module:function`; empty if requests need no login.
        app: An app on the database that the requests will use.
        address: The address of the app.

    Raises:
        SubjectError: The function is not found, or it raised.
    """
    reach_at(app, address)
    if not path:
        return address
    function = find(path, flag("as-user"))
    client = client_of(app)
    # The caller may be in a context, or have a session in this thread; another thread has neither.
    # The time limit is that of the check, or of the probe.
    try:
        Task(lambda: function(app, client)).result(threading.TIMEOUT_MAX)
    except Exception as error:
        message = f"{flag('as-user')} {path!r} raised {type(error).__name__}: {error}"
        raise SubjectError(message) from error
    return replace(address, headers=headers_of(client, address))

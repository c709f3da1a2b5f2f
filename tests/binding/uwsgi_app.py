"""The app of `test_uwsgi.py`, which uWSGI loads in its master process: it has connected before the fork."""

import os
import time
from collections.abc import Iterator
from typing import Any

from flask import stream_with_context
from sqlalchemy import event, text

from app import create_app
from app.database import db_session, get_engine, live_sessions
from flask_sqlalchemy_testbed.servers.processes import end_with

PARENT, URI = "UWSGI_APP_PARENT", "UWSGI_APP_URI"

end_with(int(os.environ[PARENT]))
application = create_app({"DATABASE_URI": os.environ[URI]})
master = os.getpid()
with application.app_context():
    event.listen(get_engine(), "connect", lambda _, record: record.info.update(process=os.getpid()))
    db_session.execute(text("SELECT 1"))


@application.get("/who")
def who() -> dict[str, Any]:
    """Return the processes, and what earlier requests have left in this one."""
    left = len(live_sessions()) + get_engine().pool.checkedout()  # type: ignore[attr-defined]
    opened_by = db_session.connection().info["process"]
    return {"process": os.getpid(), "opened_by": opened_by, "master": master, "left": left}


@application.get("/stream")
def stream() -> Any:
    def chunks() -> Iterator[str]:
        for _ in range(300):
            yield f"{db_session.scalar(text('SELECT 1'))}" * 65_536
            time.sleep(0.01)

    return application.response_class(stream_with_context(chunks()))

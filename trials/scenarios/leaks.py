"""A scenario that leaves a session open until the user ends it."""

from contextvars import copy_context

from flask import current_app
from flask.ctx import AppContext
from sqlalchemy import func, select

from app.database import db_session
from trials.models import Entry
from trials.mounts import Leak
from trials.scenarios.scenario import scenario
from trials.stage import Stage

# More leaks would empty the pool.
MAX_LEAKS = 3


@scenario("leak", "Leak a session on purpose", check="lifecycle.context-ends", leaks=True)
def leak(stage: Stage) -> None:
    """Push an app context without popping it.

    Its session stays open, shown in red above, until you let it go.
    """
    if len(stage.mounted.leaks) >= MAX_LEAKS:
        message = f"{MAX_LEAKS} leaks are open here already. Let them go first."
        raise RuntimeError(message)

    def view() -> str:
        # A context that is pushed in this copy outlives the request.
        elsewhere = copy_context()
        pushed = elsewhere.run(push)
        stage.mounted.leaks.append(Leak(elsewhere, pushed, stage.tape))
        return "left open"

    def push() -> AppContext:
        pushed = current_app.app_context()
        pushed.push()
        db_session.scalar(select(func.count()).select_from(Entry))
        return pushed

    stage.ask(view)

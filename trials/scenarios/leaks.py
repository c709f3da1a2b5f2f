"""A scenario that leaves a session open until the user ends it."""

from __future__ import annotations

from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import current_app
from sqlalchemy import func, select

from app.database import db_session
from trials.models import Entry
from trials.scenarios.scenario import scenario

if TYPE_CHECKING:
    from flask.ctx import AppContext

    from trials.stage import Stage
    from trials.tape import Tape

# More leaks would empty the pool.
MAX_LEAKS = 3


@dataclass
class Leak:
    """An app context that was pushed and not popped, with its session and its connection."""

    context: Context
    pushed: AppContext
    tape: Tape
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def let_go(self, tape: Tape) -> None:
        """Pop the context, which ends its session. Its tape and `tape` record the events."""
        self.context.run(tape.listen)
        try:
            self.context.run(self.pushed.pop)
        finally:
            self.tape.events += tape.events


@scenario("leak", "Leak a session on purpose", check="lifecycle.context-ends", leaks=True)
def leak(stage: Stage) -> None:
    """Push an app context without popping it. Its session stays open, shown in red above, until you let it
    go.
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

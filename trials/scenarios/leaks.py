"""A session that nothing ends, made on purpose, until it is let go."""

from __future__ import annotations

from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import current_app
from sqlalchemy import func, select

from app.database import db_session
from trials.scenarios.scenario import scenario
from trials.tables import Entry

if TYPE_CHECKING:
    from flask.ctx import AppContext

    from trials.stage import Stage
    from trials.tape import Tape

# A pool of which more is leaked is no use to anybody who looks on.
MOST = 3


@dataclass
class Leak:
    """An application context that was pushed and never popped, with its session and its connection."""

    context: Context
    pushed: AppContext
    tape: Tape
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def let_go(self, tape: Tape) -> None:
        """Pop it: its session ends with it. `tape` hears it, and the tape on which it was made."""
        self.context.run(tape.listen)
        try:
            self.context.run(self.pushed.pop)
        finally:
            self.tape.events += tape.events


@scenario("leak", "Leak a session on purpose", check="lifecycle.context-ends", leaks=True)
def leak(stage: Stage) -> None:
    """A session ends with its context. This pushes a context and never pops it: the session stays, red
    above, until you let it go.
    """
    if len(stage.mounted.leaks) >= MOST:
        message = f"{MOST} are open here already. Let them go first."
        raise RuntimeError(message)

    def view() -> str:
        # What is pushed in there outlives the request.
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

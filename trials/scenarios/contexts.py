"""Contexts inside contexts, on other threads, and in coroutines."""

from __future__ import annotations

from threading import Event, Thread, get_ident
from typing import TYPE_CHECKING

from flask import current_app
from sqlalchemy import func, select

from app.database import db_session
from trials.scenarios.scenario import scenario
from trials.stage import WITHIN, one
from trials.tables import Entry

if TYPE_CHECKING:
    from trials.stage import Stage


@scenario("nested-context", "Nested context", check="lifecycle.nested-contexts")
def nested_context(stage: Stage) -> None:
    """A context inside a context has a session of its own, and its end takes nothing from the outer
    one.
    """
    seen = []

    def view() -> str:
        db_session.add(Entry(name=stage.name("outer")))
        outer = db_session()
        with current_app.app_context():
            seen.append(db_session() is not outer)
            db_session.scalar(select(func.count()).select_from(Entry))
        seen.append(db_session() is outer and len(outer.new) == 1)
        db_session.commit()
        return "committed"

    stage.ask(view)
    stage.fact("The inner context had a session of its own", holds=seen[:1] == [True])
    stage.fact("The outer session still had its pending entry", holds=seen[1:] == [True])
    stage.stand_committed(["outer"])


@scenario("async-view", "Async view", check="lifecycle.async-view")
def async_view(stage: Stage) -> None:
    """An asynchronous view runs on another thread, and uses its own request's session there."""
    threads = []

    async def view() -> str:
        threads.append(get_ident())
        db_session.add(Entry(name=stage.name("written")))
        db_session.commit()
        return str(db_session.scalar(one()))

    stage.ask(view)
    stage.fact("The view ran on a thread of its own", holds=threads != [get_ident()])
    stage.stand_committed(["written"])


@scenario("background-thread", "Background thread", check="lifecycle.thread")
def background_thread(stage: Stage) -> None:
    """A thread that outlives its request leaves nothing behind of a context that it has ended."""
    answered, ended, over = Event(), Event(), Event()
    app = stage.mounted.app

    def work() -> None:
        answered.wait(WITHIN)
        try:
            with app.app_context():
                db_session.add(Entry(name=stage.name("later")))
                db_session.commit()
                db_session.scalar(one())
        finally:
            ended.set()
        over.wait(2 * WITHIN)

    thread = Thread(target=stage.tape.run, args=(work,), name="background", daemon=True)

    def view() -> str:
        thread.start()
        return str(db_session.scalar(one()))

    try:
        stage.ask(view)
        answered.set()
        done = ended.wait(WITHIN) and thread.is_alive()
        stage.fact("The thread ended its context and lives on", holds=done)
        stage.stand_committed(["later"])
        alive = [session for session in stage.mounted.sessions() if session in stage.tape.sessions]
        stage.fact(f"While it lives, {len(alive)} of these sessions are left", holds=not alive)
        del alive
    finally:
        over.set()
        thread.join(WITHIN)

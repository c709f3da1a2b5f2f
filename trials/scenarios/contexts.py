"""Scenarios with nested contexts, other threads and coroutines."""

from threading import Event, Thread, get_ident

from flask import current_app
from sqlalchemy import func, select

from app.database import db_session
from trials.models import Entry
from trials.scenarios.scenario import scenario
from trials.stage import WITHIN, Stage, one


@scenario("nested-context", "Nested context", check="lifecycle.nested-contexts")
def nested_context(stage: Stage) -> None:
    """Push a nested app context.

    It has its own session, and its end does not affect the outer session.
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
    stage.expect_committed(["outer"])


@scenario("async-view", "Async view", check="lifecycle.async-view")
def async_view(stage: Stage) -> None:
    """Call an async view. It runs in another thread, and uses the session of its request there."""
    threads = []

    async def view() -> str:
        threads.append(get_ident())
        db_session.add(Entry(name=stage.name("written")))
        db_session.commit()
        return str(db_session.scalar(one()))

    stage.ask(view)
    stage.fact("The view ran in a thread of its own", holds=threads != [get_ident()])
    stage.expect_committed(["written"])


@scenario("background-thread", "Background thread", check="lifecycle.thread")
def background_thread(stage: Stage) -> None:
    """Run a thread longer than its request.

    It leaves nothing open from a context that has ended.
    """
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
        stage.fact("The thread ended its context and is still running", holds=done)
        stage.expect_committed(["later"])
        alive = [session for session in stage.mounted.sessions() if session in stage.tape.sessions]
        stage.fact(f"While the thread runs, {len(alive)} of these sessions are open", holds=not alive)
        del alive
    finally:
        over.set()
        thread.join(WITHIN)

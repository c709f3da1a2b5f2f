"""Scenarios with two requests that affect each other."""

from threading import Barrier, Event

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from app.database import db_session
from app.faults import Fault, fault_of
from trials.models import Entry
from trials.scenarios.scenario import scenario
from trials.stage import WITHIN, Stage

# The second read in a transaction, after another transaction changed 0 to 1 and committed.
READ_AGAIN = {"sqlite": 0, "postgresql": 1, "mysql": 0}


@scenario("deadlock", "Two requests that deadlock", check="transactions.deadlock", needs=("server",))
def deadlock(stage: Stage) -> None:
    """Let two requests wait for each other. One gets an error, rolls back and repeats its work."""
    stage.change("INSERT INTO trial_entry (name, value) VALUES ('{0}/a', 0), ('{0}/b', 0)")
    both_have_one = Barrier(2, timeout=WITHIN)
    one_is_through = Event()
    deadlocks: list[str] = []

    def change(*words: str) -> None:
        for word in words:
            entry = update(Entry).where(Entry.name == stage.name(word)).values(value=Entry.value + 1)
            db_session.execute(entry, execution_options={"synchronize_session": False})
            if not deadlocks and word == words[0]:
                both_have_one.wait()
        db_session.commit()

    def request(*words: str) -> None:
        def view() -> str:
            try:
                change(*words)
            except DBAPIError as error:
                if fault_of(error) is not Fault.CONTENDED:
                    raise
                deadlocks.append(str(error.orig))
                db_session.rollback()
                # An immediate repetition could deadlock again, before the other request continues.
                one_is_through.wait(WITHIN)
                change(*words)
            finally:
                # After an error, the other request must not wait at the barrier.
                both_have_one.abort()
                one_is_through.set()
            return "changed both"

        stage.ask(view)

    stage.at_once(lambda: request("a", "b"), lambda: request("b", "a"))
    stage.fact(f"{len(deadlocks)} of the two requests got a deadlock error", holds=len(deadlocks) == 1)
    stage.fact("Each request changed both rows once", holds=_values(stage) == [2, 2])


@scenario("stale-snapshot", "Stale snapshot", check="transactions.fresh-reads")
def stale_snapshot(stage: Stage) -> None:
    """Read twice in a transaction, before and after another one's commit.

    The second read sees the commit on PostgreSQL, but not on MySQL and SQLite. The next request sees it on
    all of them.
    """
    stage.change("INSERT INTO trial_entry (name, value) VALUES ('{}/row', 0)")
    value = select(Entry.value).where(Entry.name == stage.name("row"))
    read: list[int | None] = []

    def twice() -> str:
        read.append(db_session.scalar(value))
        stage.change("UPDATE trial_entry SET value = 1 WHERE name = '{}/row'")
        read.append(db_session.scalar(value))
        return "read twice"

    stage.ask(twice)
    expected = stage.mounted.backend.of(READ_AGAIN)
    stage.fact(
        f"The request read {read[0]}; 1 was committed; it read {read[1]} in the same transaction",
        holds=read == [0, expected],
    )
    answer = stage.ask(lambda: str(db_session.scalar(value)))
    stage.fact(f"The next request read {answer.text}", holds=answer.text == "1")


def _values(stage: Stage) -> list[int]:
    question = f"SELECT value FROM trial_entry WHERE name LIKE '{stage.tag}/%'"  # noqa: S608 - our own
    return [value for (value,) in stage.outside.connection.rows(question)]

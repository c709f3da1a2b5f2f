"""Does something on several backends at once, and keeps what came of it."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Thread
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.redaction import tidy

from .left import measure, open_before
from .results import Outcome, Result, judge
from .stage import Fact, Stage
from .tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from werkzeug.test import TestResponse

    from .mounts import Mounted
    from .scenarios import Scenario

log = logging.getLogger(__name__)

# The longest scenario takes less; who waits for it longer than this is told so.
BUSY_SECONDS = 90
# So long an app may take to say that its database is away; its driver gives up connecting after 5 s.
ANSWER_SECONDS = 8


def everywhere(backends: Sequence[Mounted], work: Callable[[Mounted], Result]) -> list[Result]:
    """Do it on each of these, at the same time; one action at a time on each backend."""

    def one(mounted: Mounted) -> Result:
        if not mounted.busy.acquire(timeout=BUSY_SECONDS):
            return Result(mounted.name, Outcome.AWAY, "Another action is still running here. Try again.")
        try:
            return work(mounted)
        finally:
            mounted.busy.release()

    with ThreadPoolExecutor(len(backends), thread_name_prefix="request") as threads:
        return list(threads.map(one, backends))


def run(scenario: Scenario, mounted: Mounted) -> Result:
    """Do the scenario on that backend, and measure what it leaves."""
    if reason := scenario.lacking(mounted.backend):
        return Result(mounted.name, Outcome.NOT_APPLICABLE, f"Not applicable: {reason}.")
    result = perform(mounted, scenario.id, scenario.act, leaks=scenario.leaks, sweeps=True)
    log.info("Scenario %s on %s: %s", scenario.id, mounted.name, result.outcome.word)
    return result


def reply(mounted: Mounted, name: str, act: Callable[[Stage], None]) -> Result:
    """Do it unrecorded: where the trial is off nothing is measured."""
    with mounted.outside() as outside:
        stage = Stage(mounted, name, Tape(), outside)
        stage.tape.run(lambda: act(stage))
        return Result(mounted.name, Outcome.ANSWERED, "The ledger answered.", replies=stage.replies)


def perform(
    mounted: Mounted, name: str, act: Callable[[Stage], None], *, leaks: bool = False, sweeps: bool = False
) -> Result:
    """Record what `act` does on that backend, and judge it."""
    tape = Tape()
    with mounted.outside() as outside:
        stage = Stage(mounted, name, tape, outside)
        before = _open_if_there(stage)
        if before is None:
            return _away(stage)
        left: list[Fact] = []
        try:
            try:
                tape.run(lambda: act(stage))
            finally:
                # Whatever went wrong, its sessions should have ended.
                left += measure(stage, before)
                if sweeps:
                    stage.sweep()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            stage.fact(tidy(f"It could not be done: {type(error).__name__}: {error}"), holds=False)
        outcome, verdict = judge(stage.facts, left, leaks=leaks)
        return Result(mounted.name, outcome, verdict, [*stage.facts, *left], stage.replies, tape)


def let_go(mounted: Mounted) -> Result:
    """End what was left open on purpose."""
    tape = Tape()
    leaks, mounted.leaks[:] = list(mounted.leaks), []
    if not leaks:
        return Result(mounted.name, Outcome.NOT_APPLICABLE, "Nothing was left open on purpose here.")
    for leak in leaks:
        tape.sessions |= leak.tape.sessions
        leak.let_go(tape)
    alive = sum(session in tape.sessions for session in mounted.sessions())
    fact = Fact(f"{alive} of {len(leaks)} sessions in the registry", holds=not alive)
    outcome = Outcome.BROKEN if alive else Outcome.GONE
    verdict = "It is still there." if alive else "Its context was popped, and the session ended with it."
    return Result(mounted.name, outcome, verdict, [fact], tape=tape)


def _open_if_there(stage: Stage) -> set[str] | None:
    """The transactions that are open before it all; None where the database is not to be reached."""
    try:
        before = open_before(stage)
    except Exception:  # noqa: BLE001 - what the driver has to say, the app says better
        return None
    return before if stage.request("/readyz").status_code == HTTPStatus.OK else None


def _away(stage: Stage) -> Result:
    answers: list[TestResponse] = []

    def ask() -> None:
        answers.append(stage.tape.run(lambda: stage.request("/readyz")))

    # Of its own, since a server that is frozen whole may keep it.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    refused = [answer.status_code for answer in answers] == [HTTPStatus.SERVICE_UNAVAILABLE]
    told = answers[0].status if answers else f"nothing within {ANSWER_SECONDS} s"
    fact = Fact(f"The app answered {told}", holds=refused)
    detail = "The database cannot be reached, so nothing was tried."
    return Result(stage.mounted.name, Outcome.AWAY, detail, [fact], tape=stage.tape)

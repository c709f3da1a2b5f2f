"""Run an action on several backends at once, and return a result for each."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Thread

from flask_sqlalchemy_testbed.redaction import tidy

from .left import measure, open_before
from .mounts import Mounted
from .scenarios import Scenario
from .stage import Fact, Stage
from .tape import Tape
from .verdicts import Result, Verdict, judge

log = logging.getLogger(__name__)

# Seconds to wait for another action; the longest scenario takes less.
BUSY_SECONDS = 90
# Seconds until an app must report that its database is down; drivers stop connecting after 5 s.
RESPONSE_SECONDS = 8


def everywhere(backends: Sequence[Mounted], work: Callable[[Mounted], Result]) -> list[Result]:
    """Run `work` on these backends in parallel, but one action at a time on each backend."""

    def one(mounted: Mounted) -> Result:
        if not mounted.busy.acquire(timeout=BUSY_SECONDS):
            return Result(mounted.name, Verdict.AWAY, "Another action is still running here. Try again.")
        try:
            return work(mounted)
        finally:
            mounted.busy.release()

    with ThreadPoolExecutor(len(backends), thread_name_prefix="request") as threads:
        return list(threads.map(one, backends))


def run(scenario: Scenario, mounted: Mounted) -> Result:
    """Run a scenario on a backend, and count the sessions and connections that it leaves open."""
    if reason := scenario.lacking(mounted.backend):
        return Result(mounted.name, Verdict.NOT_APPLICABLE, f"Not applicable: {reason}.")
    result = perform(mounted, scenario.id, scenario.act, leaks=scenario.leaks, sweeps=True)
    log.info("Scenario %s on %s: %s", scenario.id, mounted.name, result.verdict.word)
    return result


def reply(mounted: Mounted, name: str, act: Callable[[Stage], None]) -> Result:
    """Run an action of the ledger without a recording, for a trial that is switched off."""
    with mounted.outside() as outside:
        stage = Stage(mounted, name, Tape(), outside)
        stage.tape.run(lambda: act(stage))
        return Result(mounted.name, Verdict.ANSWERED, "The ledger answered.", replies=stage.replies)


def perform(
    mounted: Mounted, name: str, act: Callable[[Stage], None], *, leaks: bool = False, sweeps: bool = False
) -> Result:
    """Record what `act` does on a backend, and judge it.

    Args:
        mounted: The backend.
        name: The id of the scenario or operation.
        act: What to do.
        leaks: Whether `act` leaves a session open on purpose.
        sweeps: Whether to delete the entries of the scenario afterwards.

    Returns:
        The verdict, with the facts that it is based on.
    """
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
                # Sessions must end after errors too.
                left += measure(stage, before)
                if sweeps:
                    stage.sweep()
        except Exception as error:  # noqa: BLE001 - the page shows it
            stage.fact(tidy(f"The action raised {type(error).__name__}: {error}"), holds=False)
        verdict, explanation = judge(stage.facts, left, leaks=leaks)
        return Result(mounted.name, verdict, explanation, [*stage.facts, *left], stage.replies, tape)


def let_go(mounted: Mounted) -> Result:
    """End the sessions that were left open on purpose."""
    tape = Tape()
    leaks, mounted.leaks[:] = list(mounted.leaks), []
    if not leaks:
        return Result(mounted.name, Verdict.NOT_APPLICABLE, "No session was left open on purpose here.")
    for leak in leaks:
        tape.sessions |= leak.tape.sessions
        leak.let_go(tape)
    alive = sum(session in tape.sessions for session in mounted.sessions())
    fact = Fact(f"{alive} of {len(leaks)} sessions in the registry", holds=not alive)
    if alive:
        return Result(mounted.name, Verdict.BROKEN, "The session is still open.", [fact], tape=tape)
    explanation = "Its context was popped, and the session ended with it."
    return Result(mounted.name, Verdict.GONE, explanation, [fact], tape=tape)


def _open_if_there(stage: Stage) -> set[str] | None:
    """Return the transactions that are open before the action.

    The result is None if the database cannot be reached.
    """
    try:
        before = open_before(stage)
    except Exception:  # noqa: BLE001 - `_away` shows the response of the app instead
        return None
    return before if stage.request("/readyz").status_code == HTTPStatus.OK else None


def _away(stage: Stage) -> Result:
    answers: list[str] = []

    def ask() -> None:
        answers.append(stage.tape.run(lambda: stage.request("/readyz")).status)

    # In a thread: a frozen server would block the caller.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(RESPONSE_SECONDS)
    answer = answers[0] if answers else f"nothing within {RESPONSE_SECONDS} s"
    fact = Fact(f"The app answered {answer}", holds=answer.startswith("503"))
    explanation = "The database cannot be reached, so the action did not run."
    return Result(stage.mounted.name, Verdict.AWAY, explanation, [fact], tape=stage.tape)

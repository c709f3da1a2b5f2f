"""Sort the failures of an application: its own, those of its binding, and false alarms."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tests.conformance.battery import Table
from tests.conformance.judge import RAISED
from tests.conformance.reproduce import HOLDS

# A session left open after a check that passed is a consequence of these.
SESSION_ENDS = ("lifecycle.request-ends", "lifecycle.context-ends")


class Verdict(StrEnum):
    """The cause of a failure."""

    OWN = "own"
    """The failure is reproduced without the testbed, and the application's binding does not have it."""
    BINDING = "binding"
    """The application's binding fails too, as docs/conformance.md shows."""
    FALSE_ALARM = "false alarm"
    """Neither is true."""


def sort_failures(outcomes: Table, reproduced: Table, binding: Table) -> list[dict[str, Any]]:
    """Return a verdict on each outcome that is "failed" or "left open", in the order of the outcomes.

    Args:
        outcomes: the outcomes of the application's battery.
        reproduced: the messages of the reproductions, by check and backend.
        binding: the unusual outcomes of the application's binding.
    """
    found = []
    for check, by_backend in outcomes.items():
        for backend, outcome in by_backend.items():
            message = reproduced.get(check, {}).get(backend, "")
            if outcome == "failed":
                verdict = _verdict(message, binding.get(check, {}).get(backend))
            elif outcome == "left open":
                known = any(outcomes.get(one, {}).get(backend) == "failed" for one in SESSION_ENDS)
                verdict = Verdict.OWN if known else Verdict.FALSE_ALARM
            else:
                continue
            found.append({"check": check, "backend": backend, "verdict": verdict, "evidence": message})
    return found


def _verdict(message: str, binding_outcome: str | None) -> Verdict:
    if binding_outcome == "failed":
        return Verdict.BINDING
    is_reproduced = bool(message) and message != HOLDS and not message.startswith(RAISED)
    return Verdict.OWN if is_reproduced else Verdict.FALSE_ALARM


def unexplained(outcomes: Table, binding: Table) -> Table:
    """Return the failures that the application's binding does not have; they need a reproduction."""
    found = {
        check: {
            backend: outcome
            for backend, outcome in by_backend.items()
            if outcome == "failed" and binding.get(check, {}).get(backend) != "failed"
        }
        for check, by_backend in outcomes.items()
    }
    return {check: by_backend for check, by_backend in found.items() if by_backend}


def count(outcomes: Mapping[str, Mapping[str, str]], *, on: str) -> int:
    """Return the number of checks that apply on a backend."""
    return sum(by_backend.get(on, "not applicable") != "not applicable" for by_backend in outcomes.values())

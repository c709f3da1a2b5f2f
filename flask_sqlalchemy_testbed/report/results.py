"""The outcome of every check on every backend, as a run finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.check import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_sqlalchemy_testbed.checks.check import Check
    from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow

PASSED = "passed"
FAILED = "failed"
KNOWN_FAILURE = "known failure"
NOT_APPLICABLE = "not applicable"
NOT_RUN = "not run"
# What outweighs what: a check has failed when one of its tests has, and passed when all have that apply.
OUTCOMES = (FAILED, KNOWN_FAILURE, NOT_RUN, PASSED, NOT_APPLICABLE)
# An attribute of pytest's report of such a failure.
KNOWN_MARK = "testbed_known"


# What a test found of a check, on a backend.
Found = tuple["Check", str, "Attempt"]


class Results:
    """Collects what the tests of the checks find."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._attempts: dict[str, dict[str, dict[str, Attempt]]] = {}

    def attempt(self, check: Check, backend: str, test: str) -> Attempt:
        """What that test does for the check there, to be filled in; until then it has not run."""
        self._checks[check.id] = check
        tests = self._attempts.setdefault(check.id, {}).setdefault(backend, {})
        new: Attempt = {"test": test, "outcome": NOT_RUN, "reason": "", "seconds": 0.0, "failure": ""}
        return tests.setdefault(test, new)

    def put(self, found: Iterable[Found]) -> None:
        """Takes over what another process has found; that a test has not run there does not count."""
        for check, backend, attempt in found:
            known = self.attempt(check, backend, attempt["test"])
            if attempt["outcome"] != NOT_RUN or attempt["seconds"]:
                known.clear()  # type: ignore[attr-defined]
                known.update(attempt)

    def found(self) -> list[Found]:
        """All that there is, to be handed over."""
        return [
            (self._checks[check], backend, attempt)
            for check, backends in self._attempts.items()
            for backend, tests in backends.items()
            for attempt in tests.values()
        ]

    def of(self, test: str) -> list[Found]:
        """What that one test has found."""
        return [found for found in self.found() if found[2]["test"] == test]

    def rows(self) -> list[CheckRow]:
        """The matrix, in its order."""
        evidence = self.evidence()
        rows = [_row(check, evidence[check.id]) for check in self._checks.values()]
        return sorted(rows, key=order)

    def evidence(self) -> dict[str, dict[str, list[Attempt]]]:
        """The attempts, by check and backend."""
        return {
            check: {backend: list(tests.values()) for backend, tests in backends.items()}
            for check, backends in self._attempts.items()
        }


def worst(outcomes: Iterable[str]) -> str:
    """What these come to."""
    return min(outcomes, key=OUTCOMES.index, default=NOT_RUN)


def order(row: CheckRow) -> tuple[object, ...]:
    """Where a row stands: by group, and in it by the catalogue."""
    group = GROUPS.index(row["group"]) if row["group"] in GROUPS else len(GROUPS)
    return group, row["group"], min(row["cases"], default=1000), row["id"]


def _row(check: Check, attempts: dict[str, list[Attempt]]) -> CheckRow:
    results = {backend: worst(one["outcome"] for one in tests) for backend, tests in attempts.items()}
    reasons = {backend: _reason(tests, results[backend]) for backend, tests in attempts.items()}
    return {
        "id": check.id,
        "group": check.group,
        "claim": check.claim,
        "cases": list(check.cases),
        "remedy": check.remedy,
        "results": results,
        "reasons": {backend: reason for backend, reason in reasons.items() if reason},
    }


def _reason(attempts: list[Attempt], outcome: str) -> str:
    """Why it came to that, in a line a test."""
    found = [attempt["reason"] for attempt in attempts if attempt["outcome"] == outcome]
    return "\n".join(dict.fromkeys(reason for reason in found if reason))

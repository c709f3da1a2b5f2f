"""Collect the outcome of every check on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.definition import GROUPS
from flask_sqlalchemy_testbed.report.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_sqlalchemy_testbed.checks.definition import Check
    from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow

# A check, the name of a backend, and one test of the check on it.
Finding = tuple["Check", str, "Attempt"]


class Findings:
    """The findings of the tests of the checks so far."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._attempts: dict[str, dict[str, dict[str, Attempt]]] = {}

    def attempt(self, check: Check, backend: str, test: str) -> Attempt:
        """Return the attempt of a test, for the caller to fill in; a new one has not run.

        Args:
            check: The check that the test belongs to.
            backend: The name of the backend.
            test: The node id of the test.

        Returns:
            The attempt, the same one for each call with these arguments.
        """
        self._checks[check.id] = check
        tests = self._attempts.setdefault(check.id, {}).setdefault(backend, {})
        new: Attempt = {"test": test, "outcome": Outcome.NOT_RUN, "reason": "", "seconds": 0.0, "failure": ""}
        return tests.setdefault(test, new)

    def update(self, findings: Iterable[Finding]) -> None:
        """Take over the findings of another process, except tests that have not run there.

        Args:
            findings: The result of `all` in the other process.
        """
        for check, backend, attempt in findings:
            known = self.attempt(check, backend, attempt["test"])
            if attempt["outcome"] != Outcome.NOT_RUN or attempt["seconds"]:
                known.clear()  # type: ignore[attr-defined]
                known.update(attempt)

    def all(self) -> list[Finding]:
        """Return all findings, for another process."""
        return [
            (self._checks[check], backend, attempt)
            for check, backends in self._attempts.items()
            for backend, tests in backends.items()
            for attempt in tests.values()
        ]

    def of(self, test: str) -> list[Finding]:
        """Return the findings of one test.

        Args:
            test: The node id.
        """
        return [finding for finding in self.all() if finding[2]["test"] == test]

    def rows(self) -> list[CheckRow]:
        """Return the rows of the matrix in their order."""
        evidence = self.evidence()
        rows = [_row(check, evidence[check.id]) for check in self._checks.values()]
        return sorted(rows, key=sort_key)

    def evidence(self) -> dict[str, dict[str, list[Attempt]]]:
        """Return the attempts by check and backend."""
        return {
            check: {backend: list(tests.values()) for backend, tests in backends.items()}
            for check, backends in self._attempts.items()
        }


def sort_key(row: CheckRow) -> tuple[object, ...]:
    """Return the key that sorts rows by group, then by the number of their first case."""
    group = GROUPS.index(row["group"]) if row["group"] in GROUPS else len(GROUPS)
    return group, row["group"], min(row["cases"], default=1000), row["id"]


def _row(check: Check, attempts: dict[str, list[Attempt]]) -> CheckRow:
    results = {backend: worst(test["outcome"] for test in tests) for backend, tests in attempts.items()}
    reasons = {backend: _reason(tests, results[backend]) for backend, tests in attempts.items()}
    return {
        "id": check.id,
        "group": check.group,
        "claim": check.claim,
        "severity": str(check.severity or ""),
        "cause": check.cause,
        "default_of": check.default_of,
        "cases": list(check.cases),
        "remedy": check.remedy,
        "results": {backend: str(outcome) for backend, outcome in results.items()},
        "reasons": {backend: reason for backend, reason in reasons.items() if reason},
    }


def _reason(attempts: list[Attempt], outcome: str) -> str:
    """Return a line for each test that has the outcome of the check."""
    found = [attempt["reason"] for attempt in attempts if attempt["outcome"] == outcome]
    return "\n".join(dict.fromkeys(reason for reason in found if reason))

"""A report for tests: one check that passed, one that failed, one that is not applicable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow, Report

EVENTS = [
    {"at": 0.0, "kind": "context pushed", "thread": "MainThread", "context": 1, "text": "app"},
    {"at": 0.001, "kind": "request started", "thread": "MainThread", "context": 1, "text": "GET /<script>"},
    {"at": 0.002, "kind": "session begun", "thread": "MainThread", "context": 1, "session": 1},
    {"at": 0.003, "kind": "connection opened", "thread": "MainThread", "context": 1, "connection": 1},
    {"at": 0.004, "kind": "connection checked out", "thread": "MainThread", "context": 1, "connection": 1},
    {
        "at": 0.005,
        "kind": "statement",
        "thread": "MainThread",
        "context": 1,
        "connection": 1,
        "text": "SELECT '<b>'",
        "seconds": 0.0012,
    },
    {"at": 0.008, "kind": "transaction rolled back", "thread": "MainThread", "connection": 1},
    {"at": 0.009, "kind": "connection returned", "thread": "MainThread", "connection": 1},
    {"at": 0.01, "kind": "session closed", "thread": "MainThread", "session": 1},
    {
        "at": 0.011,
        "kind": "statement of the check",
        "thread": "MainThread",
        "connection": 2,
        "text": "SELECT 2",
        "seconds": 0.001,
    },
    {"at": 0.013, "kind": "context popped", "thread": "MainThread", "context": 1, "text": "app"},
]


def attempt(test: str, outcome: str, *, reason: str = "", failure: str = "") -> Attempt:
    return {
        "test": f"flask_sqlalchemy_testbed/battery/test_x.py::{test}",
        "outcome": outcome,
        "reason": reason,
        "seconds": 0.0123,
        "failure": failure,
        "source": f"def {test.partition('[')[0]}(trial):\n    ...\n",
        "sections": [("Captured stdout call", "printed")] if failure else [],
        "log": "LOG:  a line of the server" if failure else "",
        "timeline": EVENTS,
    }


def row(name: str, claim: str, results: dict[str, str], reasons: dict[str, str]) -> CheckRow:
    return {
        "id": name,
        "group": name.partition(".")[0],
        "claim": claim,
        "cases": [1],
        "remedy": "Mend it.",
        "results": results,
        "reasons": reasons,
    }


def report(backend: str = "postgresql", version: str = "18.1") -> Report:
    lacks = f"{backend} lacks glass"
    return {
        "subject": {"app": "shop:create_app"},
        "software": {"Python": "3.14.0", "Flask": "3.1.3"},
        "servers": {
            backend: {
                "backend": backend,
                "version": version,
                "source": f"{backend}, a container",
                "settings": {"fsync": "off"},
            }
        },
        "checks": [
            row("binding.holds", "It holds.", {backend: "passed"}, {}),
            row("lifecycle.breaks", "It breaks.", {backend: "failed"}, {backend: "assert 1 == 2"}),
            row("faults.elsewhere", "It is elsewhere.", {backend: "not applicable"}, {backend: lacks}),
        ],
        "evidence": {
            "binding.holds": {backend: [attempt(f"test_holds[{backend}]", "passed")]},
            "lifecycle.breaks": {
                backend: [
                    attempt(
                        f"test_breaks[{backend}]", "failed", reason="assert 1 == 2", failure="E assert 1 == 2"
                    )
                ]
            },
            "faults.elsewhere": {
                backend: [attempt(f"test_elsewhere[{backend}]", "not applicable", reason=lacks)]
            },
        },
        "made": "2026-01-02T03:04:05Z",
    }


POWER = {
    "specimens": [
        {
            "specimen": "no_remove",
            "mistake": "The session is never removed.",
            "met": "https://example.org/thread",
            "expected": ["lifecycle.breaks"],
            "caught_by": {"sqlite": [], "postgresql": ["lifecycle.breaks", "binding.holds"]},
        }
    ]
}

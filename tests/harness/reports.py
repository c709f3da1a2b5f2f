"""A report for tests: one check that passed, one that failed, one that is not applicable."""

from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow, Report

# Each with the names of the things that it is about.
_EVENTS: list[tuple[float, str, tuple[str, ...], dict[str, object]]] = [
    (0.0, "context pushed", ("context",), {"text": "app"}),
    (0.001, "request started", ("context",), {"text": "GET /<script>"}),
    (0.002, "session begun", ("context", "session"), {}),
    (0.003, "connection opened", ("context", "connection"), {}),
    (0.004, "connection checked out", ("context", "connection"), {}),
    (0.005, "statement", ("context", "connection"), {"text": "SELECT '<b>'", "seconds": 0.0012}),
    (0.008, "transaction rolled back", ("connection",), {}),
    (0.009, "connection returned", ("connection",), {}),
    (0.01, "session closed", ("session",), {}),
    (0.011, "statement of the check", (), {"connection": 2, "text": "SELECT 2", "seconds": 0.001}),
    (0.013, "context popped", ("context",), {"text": "app"}),
]
EVENTS = [
    {"at": at, "kind": kind, "thread": "MainThread", **dict.fromkeys(things, 1), **more}
    for at, kind, things, more in _EVENTS
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


def row(name: str, claim: str, results: dict[str, str], reasons: dict[str, str], **more: str) -> CheckRow:
    return {
        "id": name,
        "group": name.partition(".")[0],
        "claim": claim,
        "cases": [1],
        "remedy": "Mend it.",
        "results": results,
        "reasons": reasons,
        **more,  # type: ignore[typeddict-item] # optional keys
    }


def report(backend: str = "postgresql", version: str = "18.1") -> Report:
    lacks = f"{backend} lacks glass"
    failure = {"reason": "assert 1 == 2", "failure": "E assert 1 == 2"}
    source = {"version": version, "source": f"{backend}, a container", "settings": {"fsync": "off"}}
    return {
        "subject": {"app": "shop:create_app"},
        "software": {"Python": "3.14.0", "Flask": "3.1.3"},
        "servers": {backend: {"backend": backend, **source}},  # type: ignore[typeddict-item] # the rest of a row
        "checks": [
            row("binding.holds", "It holds.", {backend: "passed"}, {}),
            row("lifecycle.breaks", "It breaks.", {backend: "failed"}, {backend: "assert 1 == 2"}),
            row("faults.elsewhere", "It is elsewhere.", {backend: "not applicable"}, {backend: lacks}),
        ],
        "evidence": {
            "binding.holds": {backend: [attempt(f"test_holds[{backend}]", "passed")]},
            "lifecycle.breaks": {backend: [attempt(f"test_breaks[{backend}]", "failed", **failure)]},
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

"""Compare measured with expected outcomes; an improvement is a difference too."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .battery import Table
from .reproduce import HOLDS

EXPECTED = Path(__file__).with_name("expected.json")
# The message of a reproduction that raised an unexpected error begins like this.
RAISED = "raised "
# Outcomes that `expected.json` leaves out.
USUAL = ("passed", "not applicable")
# The least number of checks that apply to an application on all backends together.
MINIMUM = 70


def unusual(outcomes: Table) -> Table:
    """Return the outcomes other than passed and not applicable, sorted."""
    found = {
        check: {on: outcome for on, outcome in sorted(by_backend.items()) if outcome not in USUAL}
        for check, by_backend in sorted(outcomes.items())
    }
    return {check: by_backend for check, by_backend in found.items() if by_backend}


def applicable(outcomes: Table) -> int:
    """Return the number of checks that apply on one backend or more."""
    return sum(set(by_backend.values()) != {"not applicable"} for by_backend in outcomes.values())


def expected() -> dict[str, Table]:
    """Return the unusual expected outcomes, by subject."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def problems(document: Mapping[str, Any], *, whole: bool) -> list[str]:
    """Return a line for each unexpected measurement, and for each subject without one.

    Args:
        document: the measurements.
        whole: whether all backends were measured.
    """
    lines = list(document["errors"])
    for subject in document["subjects"]:
        known = for_backends(document["backends"], expected().get(subject["name"], {}))
        found = differences(subject["outcomes"], known)
        if subject["is_peer"]:
            found += disagreements(subject["outcomes"], subject["reproduced"])
        elif whole and applicable(subject["outcomes"]) < MINIMUM:
            found.append(f"fewer than {MINIMUM} checks apply")
        lines += [f"{subject['name']}: {line}" for line in found]
    return lines


def differences(outcomes: Table, known: Table) -> list[str]:
    """Return a line for each outcome of one subject that differs from the expected one."""
    lines = []
    for check in sorted(outcomes.keys() | known.keys()):
        now, before = outcomes.get(check, {}), known.get(check, {})
        for backend in sorted(now.keys() | before.keys()):
            outcome, was = now.get(backend, "missing"), before.get(backend)
            if (was or "passed") != outcome and not (was is None and outcome in USUAL):
                lines.append(f"{check} on {backend}: {outcome}, expected: {was or 'passed'}")
    return lines


def disagreements(outcomes: Table, reproduced: Table) -> list[str]:
    """Return a line for each outcome that its reproduction does not confirm."""
    lines = []
    for check, by_backend in sorted(outcomes.items()):
        for backend, outcome in sorted(by_backend.items()):
            message = reproduced.get(check, {}).get(backend)
            if message is None and outcome == "failed":
                lines.append(f"{check} on {backend}: failed, and has no reproduction")
            elif message is not None and (
                (outcome == "failed") == (message == HOLDS) or message.startswith(RAISED)
            ):
                lines.append(f"{check} on {backend}: {outcome}, but its reproduction says: {message}")
    return lines


def for_backends(backends: Sequence[str], known: Table) -> Table:
    """Return the expected outcomes on these backends."""
    found = {
        check: {name: by_backend[name] for name in backends if name in by_backend}
        for check, by_backend in known.items()
    }
    return {check: by_backend for check, by_backend in found.items() if by_backend}


def accept(document: Mapping[str, Any], *, whole: bool) -> None:
    """Write the measured outcomes as the expected ones; other subjects and backends stay unless `whole`."""
    before = {} if whole else expected()
    now = {
        subject["name"]: merged(
            before.get(subject["name"], {}), unusual(subject["outcomes"]), document["backends"]
        )
        for subject in document["subjects"]
    }
    EXPECTED.write_text(json.dumps({**before, **now}, indent=1) + "\n", encoding="utf-8")


def merged(before: Table, now: Table, backends: Sequence[str]) -> Table:
    """Return the outcomes with those on some backends replaced by new ones."""
    found = {
        check: {
            **{on: outcome for on, outcome in before.get(check, {}).items() if on not in backends},
            **now.get(check, {}),
        }
        for check in sorted(before.keys() | now.keys())
    }
    return {check: dict(sorted(by_backend.items())) for check, by_backend in found.items() if by_backend}

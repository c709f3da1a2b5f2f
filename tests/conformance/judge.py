"""Whether what was found is what is known: what changes shows at once, to the better as to the worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .reproduce import HOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .battery import Table

EXPECTED = Path(__file__).with_name("expected.json")
# What a reproduction says that did not come to its point.
RAISED = "raised "
# What needs not be said beforehand.
USUAL = ("passed", "not applicable")


def unusual(outcomes: Table) -> Table:
    """What did not just pass: the known differences, when somebody has looked at each."""
    found = {
        check: {on: outcome for on, outcome in sorted(by_backend.items()) if outcome not in USUAL}
        for check, by_backend in sorted(outcomes.items())
    }
    return {check: by_backend for check, by_backend in found.items() if by_backend}


def expected() -> dict[str, Table]:
    """The known differences, by subject."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def changes(outcomes: Table, known: Table) -> list[str]:
    """Where the outcomes of one subject are not what is known of it, a line each."""
    told = []
    for check in sorted(outcomes.keys() | known.keys()):
        now, before = outcomes.get(check, {}), known.get(check, {})
        for backend in sorted(now.keys() | before.keys()):
            outcome, was = now.get(backend, "not there"), before.get(backend)
            if (was or "passed") != outcome and not (was is None and outcome in USUAL):
                told.append(f"{check} on {backend}: {outcome}; known as {was or 'passed'}")
    return told


def disagreements(outcomes: Table, reproduced: Table) -> list[str]:
    """Where the battery fails what cannot be reproduced without it, or passes what can."""
    told = []
    for check, by_backend in sorted(outcomes.items()):
        for backend, outcome in sorted(by_backend.items()):
            said = reproduced.get(check, {}).get(backend)
            if outcome == "failed" and said is None:
                told.append(f"{check} on {backend}: failed, and has no reproduction")
            elif said is not None and ((outcome == "failed") == (said == HOLDS) or said.startswith(RAISED)):
                told.append(f"{check} on {backend}: {outcome}, but without the testbed: {said}")
    return told


def on(backends: Sequence[str], known: Table) -> Table:
    """What is known of these backends, where not all were asked for."""
    found = {
        check: {name: by_backend[name] for name in backends if name in by_backend}
        for check, by_backend in known.items()
    }
    return {check: by_backend for check, by_backend in found.items() if by_backend}

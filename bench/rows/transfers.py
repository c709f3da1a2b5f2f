"""Measure transfers per second through gunicorn, with the binding and without it.

Without it, each view has a session of its own.
"""

import random
from collections import Counter
from contextlib import ExitStack
from statistics import median, quantiles

from bench.bench import Bench
from bench.contenders import BINDING, SESSION_IN_VIEW
from bench.gunicorn import Loaded, Served
from bench.measurements import Figure, Goal, Row

CLIENTS = 1, 4, 16, 64
ACCOUNTS = 200
# The contenders are loaded one right after the other, and the goal is the median of the ratios of such pairs:
# the speed of a machine changes more within minutes than within a second.
PAIRS, SECONDS = 24, 0.5
# The goal: at least this share of the transfers of plain sessions, on these databases, from 4 clients on. The
# others have figures alone.
GOAL, FROM = 0.95, 4
WITH_GOAL = {"postgresql"}
MILLI = 1000


def measure(bench: Bench) -> Row:
    """Measure both on every database, in turn."""
    row = Row("transfers", "Transfers a second through gunicorn", along="clients")
    for number, (name, server) in enumerate(bench.servers()):
        uris = {
            BINDING: bench.uri(server, f"bound{number}"),
            SESSION_IN_VIEW: bench.uri(server, f"plain{number}"),
        }
        _measure(bench, row, name, uris)
    return row


def _measure(bench: Bench, row: Row, case: str, uris: dict[str, str]) -> None:
    failed: dict[str, Counter[str]] = {contender: Counter() for contender in uris}
    with ExitStack() as stack:
        served = {
            contender: stack.enter_context(Served(uri, plain=contender == SESSION_IN_VIEW))
            for contender, uri in uris.items()
        }
        accounts = {contender: each.open_accounts(ACCOUNTS) for contender, each in served.items()}
        for clients in CLIENTS:
            bench.progress(f"{case}, {clients} clients")
            pairs: list[dict[str, Loaded]] = []
            for _ in range(bench.times(PAIRS if case in WITH_GOAL else PAIRS // 4)):
                order = random.sample(list(served), len(served))
                pairs.append({each: served[each].load(accounts[each], clients, SECONDS) for each in order})
            add(row, case, clients, pairs)
            for pair in pairs:
                for contender, loaded in pair.items():
                    failed[contender].update(loaded.failed)
    row.goals.append(
        Goal(f"{case}: responses that are not a transfer", failed[BINDING].total(), 0, "responses")
    )
    for contender, statuses in failed.items():
        if statuses:
            row.notes.append(f"{case}, {contender}: {dict(statuses)}")


def add(row: Row, case: str, clients: int, pairs: list[dict[str, Loaded]]) -> None:
    """Add the figures and the goal of pairs of loads to the row."""
    for contender in BINDING, SESSION_IN_VIEW:
        loads = [pair[contender] for pair in pairs]
        rates = [loaded.rate for loaded in loads]
        row.figures.append(Figure(case, contender, rates, "a second", at=clients))
        processor = [loaded.processor / loaded.transfers * MILLI for loaded in loads]
        part = f"{contender}: gunicorn's processor time for a transfer"
        row.parts.append(Figure(case, part, processor, "ms", at=clients))
    ratios = [pair[BINDING].rate / pair[SESSION_IN_VIEW].rate for pair in pairs]
    if case in WITH_GOAL and clients >= FROM:
        claim = f"{case}, {clients} clients: of {SESSION_IN_VIEW}"
        row.goals.append(Goal(claim, median(ratios), GOAL, "times", at_least=True))
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    row.notes.append(
        f"{case}, {clients} clients: {median(ratios):.3f} of {SESSION_IN_VIEW},"
        f" half of the {len(ratios)} pairs {low:.3f} to {high:.3f}."
    )

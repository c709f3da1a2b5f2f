"""Measure transfers per second through gunicorn, with the binding and without it.

Without it, each view has a session of its own.
"""

import random
from collections import Counter, defaultdict
from contextlib import ExitStack

from bench.bench import Bench
from bench.contenders import BINDING, SESSION_IN_VIEW
from bench.gunicorn import Served
from bench.measurements import Figure, Goal, Row

CLIENTS = 1, 4, 16, 64
ACCOUNTS = 200
SECONDS = 1.0


def measure(bench: Bench) -> Row:
    """Measure both on every backend, in turn."""
    row = Row("transfers", "Transfers a second through gunicorn", along="clients")
    for number, (name, server) in enumerate(bench.servers()):
        uris = {
            BINDING: bench.uri(server, f"bound{number}"),
            SESSION_IN_VIEW: bench.uri(server, f"plain{number}"),
        }
        _measure(bench, row, name, uris)
    return row


def _measure(bench: Bench, row: Row, case: str, uris: dict[str, str]) -> None:
    rates: dict[tuple[str, int], list[float]] = {
        (contender, clients): [] for contender in uris for clients in CLIENTS
    }
    failed: dict[str, Counter[str]] = defaultdict(Counter)
    with ExitStack() as stack:
        served = {
            contender: stack.enter_context(Served(uri, plain=contender == SESSION_IN_VIEW))
            for contender, uri in uris.items()
        }
        accounts = {contender: each.open_accounts(ACCOUNTS) for contender, each in served.items()}
        for clients in CLIENTS:
            bench.progress(f"{case}, {clients} clients")
            for _ in range(bench.times(4)):
                for contender in random.sample(list(served), len(served)):
                    loaded = served[contender].load(accounts[contender], clients, SECONDS)
                    rates[contender, clients].append(loaded.rate)
                    failed[contender].update(loaded.failed)
    for (contender, clients), samples in rates.items():
        row.figures.append(Figure(case, contender, samples, "a second", at=clients))
    for clients in CLIENTS:
        ratio = row.median(case, BINDING, at=clients) / row.median(case, SESSION_IN_VIEW, at=clients)
        claim = f"{case}, {clients} clients: of {SESSION_IN_VIEW}"
        row.goals.append(Goal(claim, ratio, 0.95, "times", at_least=True))
    row.goals.append(
        Goal(f"{case}: responses that are not a transfer", failed[BINDING].total(), 0, "responses")
    )
    for contender, statuses in failed.items():
        if statuses:
            row.notes.append(f"{case}, {contender}: {dict(statuses)}")

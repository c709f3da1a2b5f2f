"""List the rows of the benchmark by name; each measures one promise."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench.bench import Bench
from bench.measurements import Row
from bench.rows import battery, clean, growth, requests, sessions, startup, test_all, transfers

ROWS: Mapping[str, Callable[[Bench], Row]] = MappingProxyType(
    {
        "ready": startup.ready,
        "one-test": startup.one_test,
        "clean": clean.measure,
        "requests": requests.measure,
        "sessions": sessions.measure,
        "transfers": transfers.measure,
        "growth": growth.measure,
        "battery": battery.measure,
        "test-all": test_all.measure,
    }
)

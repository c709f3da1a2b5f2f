"""As prometheus_client: a process registers a name once, whatever is imported again."""

import sys


class Counter:
    def __init__(self, name):
        names = sys.__dict__.setdefault("metrics_of_the_tests", set())
        if name in names:
            raise ValueError(f"Duplicated timeseries: {name}")
        names.add(name)

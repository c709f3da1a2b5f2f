"""Measure alone what a run of tests is made of: imports, containers, the servers' own starts, log-ins."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from threading import Event

import flask_sqlalchemy_testbed.servers.containers  # noqa: F401 - so that no step contains its import
from bench.bench import DATABASES, Bench
from bench.measurements import Figure
from bench.sampling import in_turn, timed
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.network import server_in
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready

# Seconds; far more than any start takes.
WITHIN = 60
STEPS = "container created and started", "the server's own start", "log-in and first database"


def imports(bench: Bench, *modules: str) -> Iterator[Figure]:
    """Yield the seconds of an interpreter that does nothing, and of one that only imports each module."""
    contenders = {"interpreter": partial(_interpret, "pass")}
    contenders |= {
        f"interpreter, import {module}": partial(_interpret, f"import {module}") for module in modules
    }
    for name, samples in in_turn(contenders, rounds=bench.times(7), seconds=30).items():
        yield Figure("alone", name, samples, "s")


def starts(bench: Bench) -> Iterator[Figure]:
    """Yield the seconds of each step until a new container can be used, without other work beside it."""
    for backend in DATABASES.values():
        if backend.recipe is None:
            continue
        bench.progress(f"the start of {backend.name} alone")
        rounds = [_steps(backend) for _ in range(bench.times(5))]
        for step, samples in zip(STEPS, zip(*rounds, strict=True), strict=True):
            yield Figure(f"{backend.name} alone", step, samples, "s")


def _interpret(code: str) -> float:
    return timed(partial(subprocess.run, [sys.executable, "-c", code], check=True))


def _steps(backend: Backend) -> list[float]:
    with closing(Run()) as run:
        ends = [time.perf_counter()]
        container = run.start_container(backend)
        ends.append(time.perf_counter())
        wait_until_ready(backend, container.url(), where=backend.name, within=WITHIN, container=container)
        ends.append(time.perf_counter())
        server = server_in(container, backend, run.name, within=WITHIN, cancelled=Event())
        ends.append(time.perf_counter())
        server.close()
    return [after - before for before, after in pairwise(ends)]

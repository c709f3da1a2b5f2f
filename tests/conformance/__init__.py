"""Compare the common bindings of SQLAlchemy to Flask, and some apps, by one battery.

`python -m tests.conformance` runs the battery on each of `peers/` and of `tests/applications`, in an
environment of its own, reproduces each failure without the testbed, and writes `docs/conformance.md`.
"""

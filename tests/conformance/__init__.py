"""The peers side by side: each common way to bind SQLAlchemy to Flask, through the same battery.

`python -m tests.conformance` puts each of `peers/` and of `tests/applications` through the battery in an
environment of its own, reproduces what fails without the testbed, and writes `docs/conformance.md`.
"""

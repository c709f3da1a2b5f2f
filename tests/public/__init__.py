"""Run the battery on public applications, unmodified, on the databases that they document.

`python -m tests.public` installs each of `applications/` in an environment of its own, runs the battery on
it, reproduces its failures without the testbed, and writes `docs/applications.md`. It needs a network.
"""

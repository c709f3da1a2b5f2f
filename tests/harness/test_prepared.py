"""Forked runs: they find what runs of new interpreters find, and end in time."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.projects import Project
from tests.harness.shops import FACTORY

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop")


def test_a_fork_and_a_new_interpreter_give_the_same_verdicts(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    found = []
    for run in (project.run, project.run_anew):
        outcome = run(*BATTERY, "-k", "lifecycle", "--testbed-matrix", "matrix.json")
        rows = json.loads((project.path / "matrix.json").read_text())["checks"]
        found.append((outcome.code, {row["id"]: row["results"] for row in rows}))

    assert found[0] == found[1]


def test_a_run_that_does_not_end_is_killed(project: Project) -> None:
    project.write(
        """
        import os, time
        from pathlib import Path

        def test_it():
            Path("number").write_text(str(os.getpid()))
            time.sleep(60)
        """
    )
    project.within = 3

    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        project.run()
    assert time.monotonic() - began < 30
    assert not Path("/proc", (project.path / "number").read_text()).exists()
    project.write("def test_it(): pass")
    assert project.run().code == os.EX_OK

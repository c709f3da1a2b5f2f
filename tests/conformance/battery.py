"""One subject through the battery, as a user would run it: elsewhere, and in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .subjects import Subject

# One subject's whole battery on all backends; a check bounds its own time.
WITHIN = 900
# What a failure says that is no more than what the harness finds after a check that held.
LEFT_OPEN = "teardown: Failed: left open"

# check -> backend -> text.
Table = dict[str, dict[str, str]]


class BatteryError(Exception):
    """It did not come to an end, or to a beginning; the message is what it said."""


def environment_of(folder: Path) -> dict[str, str]:
    """The variables of a process that runs in the laid-out subject: none is of this one's project."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TESTBED_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "FLASK_"))
    }
    return {**kept, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def run(subject: Subject, python: Path, backends: str) -> dict[str, Any]:
    """What came of each check: `outcomes`, `reasons` and `claims`, and the `servers` that it ran on."""
    with tempfile.TemporaryDirectory() as directory:
        folder, matrix = Path(directory, "subject"), Path(directory, "matrix.json")
        subject.lay_out(folder)
        chosen = [name for name in backends.split(",") if name in subject.backends]
        options = ["--testbed-backend", ",".join(chosen), "--testbed-matrix", str(matrix), *subject.options]
        command = [
            str(python),
            "-m",
            "pytest",
            "--pyargs",
            "flask_sqlalchemy_testbed.battery",
            "-q",
            "--tb=short",
            *options,
        ]
        settings = dict(setting.split("=", 1) for setting in subject.environment)
        try:
            done = subprocess.run(
                [*command, "-p", "no:cacheprovider"],
                cwd=folder,
                env={**environment_of(folder), **settings},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=WITHIN,
            )
        except subprocess.TimeoutExpired as error:
            message = f"{subject.name} was not through the battery after {WITHIN} s"
            raise BatteryError(message) from error
        if not matrix.exists():
            message = f"{subject.name} could not be put through the battery:\n{done.stdout[-3000:]}"
            raise BatteryError(message)
        return read(json.loads(matrix.read_text(encoding="utf-8")))


def read(matrix: dict[str, Any]) -> dict[str, Any]:
    """What counts of the battery's own file."""
    rows = matrix["checks"]
    return {
        "servers": {name: server["version"] for name, server in matrix["servers"].items()},
        "claims": {row["id"]: row["claim"] for row in rows},
        "remedies": {row["id"]: row["remedy"] for row in rows},
        "outcomes": {row["id"]: {on: outcome(row, on) for on in row["results"]} for row in rows},
        "reasons": {row["id"]: row["reasons"] for row in rows},
    }


def outcome(row: dict[str, Any], backend: str) -> str:
    """What the battery says; but a claim that held has not failed for what was left open after it."""
    found = str(row["results"][backend])
    reasons = row["reasons"].get(backend, "").splitlines()
    only_left_open = bool(reasons) and all(reason.startswith(LEFT_OPEN) for reason in reasons)
    return "left open" if found == "failed" and only_left_open else found

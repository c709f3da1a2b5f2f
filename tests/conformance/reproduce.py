"""What fails, without the testbed: plain tests that know Flask, SQLAlchemy and the peer."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from .battery import BatteryError, environment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .battery import Table
    from .subjects import Subject

REPRODUCTIONS = Path(__file__).parent / "reproductions"
WITHIN = 600
HOLDS = "holds"


def identities() -> dict[str, str]:
    """The test of each check that has one: for `lifecycle.thread` it is `test_lifecycle.py::test_thread`."""
    return {
        f"{path.stem.removeprefix('test_')}.{name.replace('_', '-')}": f"{path.name}::test_{name}"
        for path in sorted(REPRODUCTIONS.glob("test_*.py"))
        for name in re.findall(r"^def test_(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def run(subject: Subject, python: Path, outcomes: Table, uris: Mapping[str, str]) -> Table:
    """What each says on each backend where the battery has passed or failed its check."""
    found: Table = {}
    for backend, uri in uris.items():
        wanted = {
            check: test
            for check, test in identities().items()
            if outcomes.get(check, {}).get(backend) in {"passed", "failed"}
        }
        for check, said in _run(subject, python, wanted, uri).items():
            found.setdefault(check, {})[backend] = said
    return found


def _run(subject: Subject, python: Path, wanted: Mapping[str, str], uri: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        folder, tests, report = (Path(directory, name) for name in ("subject", "reproductions", "report.xml"))
        subject.lay_out(folder)
        shutil.copytree(REPRODUCTIONS, tests, ignore=shutil.ignore_patterns("__pycache__"))
        settings = dict(setting.split("=", 1) for setting in subject.environment)
        done = subprocess.run(
            [
                *(str(python), "-m", "pytest", "-q", "--tb=no", "-p", "no:testbed", "-p", "no:cacheprovider"),
                *(
                    "-W",
                    "ignore",
                    "--rootdir",
                    directory,
                    "--junit-xml",
                    str(report),
                    f"--basetemp={directory}/t",
                ),
                *(str(tests / test) for test in wanted.values()),
            ],
            cwd=folder,
            env={**environment_of(folder), **settings, "DATABASE_URI": uri},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=WITHIN,
        )
        if not report.exists():
            message = f"{subject.name}: the reproductions did not run:\n{done.stdout[-3000:]}"
            raise BatteryError(message)
        # Written by pytest a moment ago.
        cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314
        said = {_key(case): _said(case) for case in cases}
        return {check: said.get(test, "did not run") for check, test in wanted.items()}


def _key(case: ET.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}"


def _said(case: ET.Element) -> str:
    for kind in ("failure", "error"):
        if (failure := case.find(kind)) is not None:
            return str(failure.get("message")).removeprefix("Failed: ").splitlines()[0]
    return HOLDS

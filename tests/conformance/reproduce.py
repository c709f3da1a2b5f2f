"""Reproduce failures without the testbed.

The reproductions are plain tests that use Flask, SQLAlchemy and the peer alone.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from .battery import BatteryError, Table
from .environments import run as run_command
from .subjects import Subject

REPRODUCTIONS = Path(__file__).parent / "reproductions"
SECONDS = 600
HOLDS = "holds"


def tests() -> dict[str, str]:
    """Return the test of each check.

    For `lifecycle.thread` it is `test_lifecycle.py::test_thread`.
    """
    return {
        f"{path.stem.removeprefix('test_')}.{name.replace('_', '-')}": f"{path.name}::test_{name}"
        for path in sorted(REPRODUCTIONS.glob("test_*.py"))
        for name in re.findall(r"^def test_(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def run(subject: Subject, python: Path, outcomes: Table, uris: Mapping[str, str]) -> Table:
    """Run the tests of all checks that passed or failed, on each backend; return their messages.

    Raises:
        BatteryError: the tests did not run.
    """
    found: Table = {}
    for backend, uri in uris.items():
        wanted = {
            check: test
            for check, test in tests().items()
            if outcomes.get(check, {}).get(backend) in {"passed", "failed"}
        }
        messages = _run(subject, python, wanted, uri) if wanted else {}
        for check, message in messages.items():
            found.setdefault(check, {})[backend] = message
    return found


def _run(subject: Subject, python: Path, wanted: Mapping[str, str], uri: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        folder, copied, report = (
            Path(directory, name) for name in ("subject", "reproductions", "report.xml")
        )
        subject.copy_files(folder)
        shutil.copytree(REPRODUCTIONS, copied, ignore=shutil.ignore_patterns("__pycache__"))
        without = ("-p", "no:cacheprovider", "-W", "ignore")
        places = ("--rootdir", directory, "--junit-xml", str(report), f"--basetemp={directory}/t")
        paths = [str(copied / test) for test in wanted.values()]
        command = [str(python), "-m", "pytest", "-q", "--tb=no", *without, *places, *paths]
        # No plugin is loaded: neither the testbed nor one that the subject brings.
        variables = {**subject.variables, "DATABASE_URI": uri, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        output = run_command(command, folder, SECONDS, **variables)
        if not report.exists():
            message = f"The reproductions did not run:\n{output[-3000:]}"
            raise BatteryError(message)
        # pytest has just written the file.
        cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314
        messages = {_name(case): _message(case) for case in cases}
        return {check: messages.get(test, "did not run") for check, test in wanted.items()}


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}"


def _message(case: ET.Element) -> str:
    for kind in ("failure", "error"):
        if (failure := case.find(kind)) is not None:
            return str(failure.get("message")).removeprefix("Failed: ").splitlines()[0]
    return HOLDS

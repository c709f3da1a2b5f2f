"""`make test` needs no package that only other commands install."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests import prepared

ROOT = Path(__file__).parents[1]
WITHOUT = """
import sys, pytest
sys.modules.update(dict.fromkeys({names!r}))
sys.exit(pytest.main(["--collect-only", "-q", "-p", "flask_sqlalchemy_testbed"]))
"""


def test_the_tests_are_collected_without_the_packages_of_bench_and_stack() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    packages = [line for name in ("bench", "stack") for line in groups[name] if isinstance(line, str)]
    names = [re.split(r"[^\w-]", line)[0].replace("-", "_") for line in packages]
    assert {"matplotlib", "playwright"} <= set(names)

    collected = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names)],
        cwd=ROOT,
        # Some of these packages are plugins of pytest.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )

    assert collected.returncode == 0, collected.stdout[-3000:]


def test_a_test_that_shows_the_same_on_any_backend_is_collected_once() -> None:
    words = ["pytest", "--collect-only", "-q", "--testbed-backend", "sqlite,mysql,mariadb"]
    collected = prepared.run(
        [*words, "tests/harness/test_lingering.py"], cwd=ROOT, env=os.environ, timeout=60
    ).stdout

    assert re.findall(r"::test_two_runs_at_once_share_it\[(\w+)\]", collected) == ["mysql"]
    assert re.findall(r"::test_it_ends_in_its_time_\w+\[(\w+)\]", collected) == ["mysql", "mariadb"]

"""`make test` needs no package that only other commands install."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

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

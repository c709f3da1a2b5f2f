"""A machine that has only what `make test` installs can run it."""

from __future__ import annotations

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


def test_the_tests_are_collected_without_what_other_commands_install() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    wanted = [needed for name in ("bench", "stack") for needed in groups[name] if isinstance(needed, str)]
    names = [re.split(r"[^\w-]", needed)[0].replace("-", "_") for needed in wanted]
    assert {"matplotlib", "playwright"} <= set(names)

    collected = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names)],
        cwd=ROOT,
        # Some of them are plugins.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )

    assert collected.returncode == 0, collected.stdout[-3000:]

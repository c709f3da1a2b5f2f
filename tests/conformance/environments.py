"""A virtual environment for each subject: its own pinned packages, and the testbed as anybody installs it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "build" / "environments"
WITHIN = 600
UV = (sys.executable, "-m", "uv")


class InstallationError(Exception):
    """It cannot be had; the message is what the installer said."""


def wheel(project: Path, into: Path) -> Path:
    """The project as a wheel, built with what this environment has: nothing is fetched."""
    folder = into / project.name
    folder.mkdir(parents=True)
    built = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(project)]
    _run([sys.executable, "-m", *built])
    return next(folder.glob("*.whl"))


def environment(name: str, requirements: Path, wheels: Sequence[Path]) -> Path:
    """The Python of an environment with these requirements, which is kept, and these wheels, made anew."""
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ENVIRONMENTS / f"{name}-{key}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([*UV, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([*UV, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)])
        (folder / "complete").touch()
    _run(
        [
            *UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--no-deps",
            "--reinstall",
            *map(str, wheels),
        ]
    )
    return python


def lock(inputs: Sequence[str], output: Path) -> None:
    """Choose the versions anew: of what the inputs name, and of what the testbed needs beside it."""
    options = ["--universal", "--python-version", "3.11", "--no-emit-index-url", "--no-emit-find-links"]
    style = ["--no-annotate", "--no-header", "--upgrade", "--output-file", str(output)]
    _run([*UV, "pip", "compile", "--quiet", *options, *style, "pyproject.toml", *inputs])


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """What is installed there of these, and the Python itself."""
    code = (
        "import importlib.metadata, platform, sys\n"
        "print(platform.python_version(), *map(importlib.metadata.version, sys.argv[1:]))"
    )
    return dict(zip(["Python", *packages], _run([str(python), "-c", code, *packages]).split(), strict=True))


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN,
    )
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
        raise InstallationError(message)
    return done.stdout

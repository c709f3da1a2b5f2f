"""Make a virtual environment for each subject: pinned packages and the testbed's wheel."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "build" / "environments"
INSTALL_SECONDS = 600
UV = (sys.executable, "-m", "uv")
# Variables that belong to this repository's own environment.
OURS = ("TESTBED_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "FLASK_")


class InstallationError(Exception):
    """A package could not be built or installed; the message is the output of the installer."""


def wheel(project: Path, into: Path) -> Path:
    """Build the wheel of a project with the packages of this environment.

    This downloads nothing.
    """
    folder = into / project.name
    folder.mkdir(parents=True)
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    _install([sys.executable, "-m", "pip", "wheel", *options, str(project)])
    return next(folder.glob("*.whl"))


def environment(name: str, requirements: Path, wheels: Sequence[Path]) -> Path:
    """Return the Python of an environment that holds these requirements and wheels.

    The requirements stay installed for the next run; the wheels are installed anew.
    """
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ENVIRONMENTS / f"{name}-{key}"
    python = folder / "bin" / "python"
    # `run` writes no compiled files: without these, each process of the battery compiles every module.
    install = [*UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _install([*UV, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _install([*install, "-r", str(requirements)])
        (folder / "complete").touch()
    _install([*install, "--no-deps", "--reinstall", *map(str, wheels)])
    return python


def lock(inputs: Sequence[str], output: Path) -> None:
    """Choose the newest versions of the packages that a subject needs.

    These include the packages of the testbed and of the measurement.
    """
    options = ["--universal", "--python-version", "3.11", "--no-emit-index-url", "--no-emit-find-links"]
    style = ["--no-annotate", "--no-header", "--upgrade", "--output-file", str(output)]
    common = ["pyproject.toml", "tests/conformance/requirements.in"]
    _install([*UV, "pip", "compile", "--quiet", *options, *style, *common, *inputs])


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of these packages in an environment."""
    code = (
        "import importlib.metadata, platform, sys\n"
        "print(platform.python_version(), *map(importlib.metadata.version, sys.argv[1:]))"
    )
    output = _install([str(python), "-c", code, *packages])
    return dict(zip(["Python", *packages], output.split(), strict=True))


def run(command: Sequence[str], folder: Path, seconds: float, **variables: str) -> str:
    """Run a command in the folder of a subject, and return its output.

    Args:
        command: the command and its arguments; its exit status is ignored.
        folder: the working directory, which is also on Python's import path.
        seconds: time limit.
        variables: more environment variables; this repository's own are not passed on.

    Raises:
        subprocess.TimeoutExpired: the command took longer.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    ).stdout


def _install(command: Sequence[str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )
    if done.returncode:
        message = f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
        raise InstallationError(message)
    return done.stdout

"""The GitHub action calls the command; its shell steps run here as GitHub runs them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from flask_sqlalchemy_testbed.options import OPTIONS
from tests.harness.shops import FACTORY, WITHOUT_REMOVE

ACTION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "action.yml").read_text(encoding="utf-8")
)
CHECK = "--check lifecycle.request-ends --check lifecycle.context-ends"


def run_action(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the steps of the action with these inputs, and return the last one that ran."""
    assert inputs.keys() <= ACTION["inputs"].keys()
    values = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()} | inputs

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: values[match[1]], text)

    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        environment = {name: filled(text) for name, text in step["env"].items()}
        ran = subprocess.run(
            # https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder / filled(step["working-directory"]),
            env={
                **{name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")},
                **environment,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "GITHUB_ACTIONS": "true",
                "GITHUB_WORKSPACE": str(folder),
                "GITHUB_STEP_SUMMARY": str(folder / "job.md"),
                "CI": "true",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ran.returncode:
            break
    return ran


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """Return a folder with two apps, inside the workspace of a job."""
    folder = tmp_path / "backend"
    folder.mkdir()
    (folder / "shop.py").write_text(FACTORY)
    (folder / "leaky.py").write_text(WITHOUT_REMOVE)
    return folder


def test_the_steps_call_the_command_alone() -> None:
    for step in ACTION["runs"]["steps"]:
        lines = step["run"].replace("\\\n", "").splitlines()
        assert {line.split()[0] for line in lines} <= {"read", "python"}
        assert "${{" not in step["run"], "an input in the text of a script is a way to inject code"


def test_its_inputs_are_options_of_the_command() -> None:
    assert ACTION["inputs"].keys() - {"options", "working-directory"} <= OPTIONS.keys()


def test_an_app_that_passes_ends_the_job_well(backend: Path) -> None:
    ran = run_action(backend.parent, app="shop:create_app", options=CHECK, **{"working-directory": "backend"})

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (backend / "testbed-report" / "index.html").exists()
    assert "::" not in ran.stdout
    assert (backend.parent / "job.md").read_text().startswith("## shop:create_app: no check failed")


def test_a_failure_is_annotated_unless_the_baseline_lists_it(backend: Path) -> None:
    inputs = {
        "app": "leaky:create_app",
        "options": CHECK,
        "sarif": "a b.sarif",
        "working-directory": "backend",
    }

    failed = run_action(backend.parent, **inputs)
    known = {"lifecycle.request-ends": ["sqlite"], "lifecycle.context-ends": ["sqlite"]}
    (backend / "known.json").write_text(json.dumps({"known": known}))
    excused = run_action(backend.parent, **inputs, baseline="known.json")

    assert (failed.returncode, excused.returncode) == (1, 0), failed.stdout + excused.stdout
    assert ",file=backend/leaky.py,line=10::Sessions stay open after their app context." in failed.stdout
    assert "::error" not in excused.stdout
    (log,) = json.loads((backend / "a b.sarif").read_text())["runs"]
    assert {result["ruleId"] for result in log["results"]} == known.keys()
    assert all(result["suppressions"] for result in log["results"])

"""The outcomes of checks of the battery on the app of a project."""

import json

from tests.harness.projects import Project


def verdicts(
    project: Project, *options: str, checks: tuple[str, ...]
) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the outcomes and the reasons by check and backend."""
    words = [word for check in checks for word in ("--testbed-check", check)]
    battery = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop")
    outcome = project.run(*battery, "--testbed-matrix", "matrix.json", *words, *options)
    assert (project.path / "matrix.json").exists(), outcome.text
    rows = json.loads((project.path / "matrix.json").read_text())["checks"]
    return {
        row["id"]: {name: (found, row["reasons"].get(name, "")) for name, found in row["results"].items()}
        for row in rows
    }

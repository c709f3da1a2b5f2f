"""The applications import nothing of this repository, as those of users."""

import ast
from pathlib import Path

from tests.conformance import subjects

HERE = Path(__file__).parent
APPLICATIONS = [subject for subject in subjects.find_subjects() if not subject.is_peer]
OURS = {"app", "flask_sqlalchemy_testbed", "tests", "trials"}


def test_no_application_imports_from_this_repository() -> None:
    for path in HERE.glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & OURS, path


def test_there_are_four_styles_and_a_released_application() -> None:
    released = [subject for subject in APPLICATIONS if not subject.is_installed]

    assert len(APPLICATIONS) - len(released) >= 4
    assert released
    assert not [path for subject in released for path in subject.folder.glob("**/*.py")]

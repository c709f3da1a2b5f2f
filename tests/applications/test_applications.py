"""Anybody's application can be put through the battery, installed as anybody installs it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import judge, subjects

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
APPLICATIONS = [subject for subject in subjects.found() if not subject.is_peer]
NAMES = [subject.name for subject in APPLICATIONS]


@pytest.mark.parametrize("subject", NAMES, indirect=True)
def test_outcomes_are_as_known(subject: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    known = judge.expected().get(subject["name"], {})

    assert judge.changes(subject["outcomes"], judge.on(document["backends"], known)) == []


@pytest.mark.parametrize("subject", NAMES, indirect=True)
def test_nearly_all_of_the_battery_applies(subject: Mapping[str, Any]) -> None:
    applied = [
        check
        for check, by_backend in subject["outcomes"].items()
        if set(by_backend.values()) - {"not applicable", "not run"}
    ]

    assert len(applied) >= 70


def test_none_of_them_knows_this_repository() -> None:
    for path in HERE.glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", []) if isinstance(node, ast.Import)]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {
                "app",
                "flask_sqlalchemy_testbed",
                "tests",
                "trials",
            }, path


def test_there_are_four_styles_and_a_real_one() -> None:
    written = [subject for subject in APPLICATIONS if (subject.folder / "pyproject.toml").exists()]
    real = [subject for subject in APPLICATIONS if subject not in written]

    assert len(written) >= 4
    assert real
    assert not [path for subject in real for path in subject.folder.glob("**/*.py")]

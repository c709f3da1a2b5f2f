"""The battery's checks, as their sources tell of them: the trial runs where pytest is not."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import flask_sqlalchemy_testbed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BATTERY = Path(flask_sqlalchemy_testbed.__file__).with_name("battery")


@dataclass(frozen=True)
class CheckText:
    """One check as it is written."""

    id: str
    claim: str
    file: str
    line: int
    source: str


@cache
def checks() -> Mapping[str, CheckText]:
    """All of them, by id."""
    found = [check for path in sorted(BATTERY.glob("test_*.py")) for check in _checks_in(path)]
    return {check.id: check for check in found}


def _checks_in(path: Path) -> Iterator[CheckText]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "check":
                name, claim = (str(ast.literal_eval(argument)) for argument in mark.args)
                text = "\n".join(lines[mark.lineno - 1 : node.end_lineno])
                yield CheckText(
                    name, claim, f"flask_sqlalchemy_testbed/battery/{path.name}", mark.lineno, text
                )

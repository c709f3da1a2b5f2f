"""Write `docs/conformance.md`: where the peers differ, in a table and check by check."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.checks.claims import CHECKS

from .environments import ROOT
from .judge import applicable, unusual
from .reproduce import HOLDS, REPRODUCTIONS, tests

PAGE = ROOT / "docs" / "conformance.md"
WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
LETTERS = {"sqlite": "S", "postgresql": "P", "mysql": "M", "mariadb": "A"}
FAILED, OPEN, PASSED, NOT_APPLICABLE = "✗", "○", "·", "n/a"

INTRODUCTION = """\
# Conformance of the common bindings

This page compares the common ways to bind SQLAlchemy to Flask. Each is set up as its own documentation says.
The same [battery](../flask_sqlalchemy_testbed/battery) tests each on SQLite, PostgreSQL, MySQL and MariaDB.
`make conformance` repeats the measurements and writes this page. It fails if an outcome differs from the
expected one, also if it is better.

The page shows what each binding does *by default*. It marks each failure as a *defect*, or as a *default* of
Flask, SQLAlchemy, a driver or a database: the binding keeps it on purpose, and an application may change it.
Each failure is reproduced without the testbed, in
[`tests/conformance/reproductions`](../tests/conformance/reproductions): a few lines that use Flask,
SQLAlchemy and the binding alone. The quoted evidence is their output.
"""
LEGEND = f"""\
| sign | meaning |
|:-:|---|
| {PASSED} | passes on each backend |
| {FAILED} | fails on each backend to which the check applies |
| {FAILED}\u202fS | fails on SQLite alone (P: PostgreSQL, M: MySQL, A: MariaDB) |
| {OPEN} | passes, but leaves a session open, for which `lifecycle.request-ends` fails |
| {FAILED}\u202fS{OPEN} | fails on SQLite, and is {OPEN} on the other backends |
| {NOT_APPLICABLE} | does not apply |

The checks of promises that only this repository makes are left out. Checks that need a factory do not apply
to an app that is a global of its module.
"""


def render(document: Mapping[str, Any]) -> str:
    """Return the whole page; two runs with equal outcomes return the same."""
    peers = [subject for subject in document["subjects"] if subject["is_peer"]]
    others = [subject for subject in document["subjects"] if not subject["is_peer"]]
    parts = [INTRODUCTION, *_overview(peers), *_table(peers), *_each(peers), *_applications(others)]
    return "\n".join(parts).rstrip("\n") + "\n"


def summary(subject: Mapping[str, Any]) -> str:
    """Return the outcomes of one subject in a line, for the terminal."""
    failed = len(_failed(subject))
    left = len(unusual(subject["outcomes"])) - failed
    more = f", {left} passed and left a session open" if left else ""
    return f"{subject['name']}: {failed} of {len(subject['outcomes'])} checks failed{more}"


def _overview(peers: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    servers: Mapping[str, str] = next((subject["servers"] for subject in peers), {})
    python = next((subject["versions"]["Python"] for subject in peers), "")
    numbers = ", ".join(f"{name} {version}" for name, version in servers.items())
    yield f"Versions: Python {python}, {numbers}.\n"
    yield "| binding | set up as | versions | fails |\n|---|---|---|---|"
    for subject in peers:
        title = subject["title"]
        if subject["documentation"]:
            title = f"[{title}]({subject['documentation']})"
        failed = _failed(subject)
        defaults = sum(bool(CHECKS[check].default_of) for check in failed)
        fails = f"{len(failed)} of {applicable(subject['outcomes'])}" + (
            f", {defaults} of them defaults" if defaults else ""
        )
        yield f"| {title} | {subject['setup']} | {_versions(subject)} | {fails} |"
    yield ""


def _versions(subject: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in subject["versions"].items() if name != "Python")


def _failed(subject: Mapping[str, Any]) -> list[str]:
    found = unusual(subject["outcomes"])
    return [check for check, by_backend in found.items() if "failed" in by_backend.values()]


def _differing(peers: Sequence[Mapping[str, Any]], outcome: str) -> list[str]:
    """Return the checks with that outcome for one peer or more, in the order of the battery."""
    order = dict.fromkeys(check for subject in peers for check in subject["outcomes"])
    return [
        check
        for check in order
        if any(outcome in subject["outcomes"].get(check, {}).values() for subject in peers)
    ]


def _table(peers: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    failing = _differing(peers, "failed")
    yield "## Where they differ\n"
    yield LEGEND
    yield f"| check | {' | '.join(subject['title'] for subject in peers)} |"
    yield f"|---|{':-:|' * len(peers)}"
    for check in failing:
        cells = [_cell(subject["outcomes"].get(check, {})) for subject in peers]
        yield f"| [{check}](#{_anchor(check)}) | {' | '.join(cells)} |"
    every = dict.fromkeys(check for subject in peers for check in subject["outcomes"])
    opened = [check for check in _differing(peers, "left open") if check not in failing]
    passing = [
        check
        for check in every
        if check not in failing
        and any(
            outcome != "not applicable"
            for subject in peers
            for outcome in subject["outcomes"].get(check, {}).values()
        )
    ]
    yield ""
    yield f"The other {len(passing)} checks pass for every binding" + (
        f"; {len(opened)} of them, marked {OPEN}, leave a session open with a 2010 pattern:\n"
        if opened
        else ":\n"
    )
    yield ", ".join(f"`{check}`{f' {OPEN}' if check in opened else ''}" for check in passing) + ".\n"


def _cell(by_backend: Mapping[str, str]) -> str:
    applied = [name for name, outcome in by_backend.items() if outcome != "not applicable"]
    failed = [name for name in applied if by_backend[name] == "failed"]
    left = any(by_backend[name] == "left open" for name in applied)
    if not applied:
        return NOT_APPLICABLE
    if not failed:
        return OPEN if left else PASSED
    where = "" if len(failed) == len(applied) else "\u202f" + "".join(LETTERS[name] for name in failed)
    return FAILED + where + (OPEN if left else "")


def _each(peers: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    yield "## Check by check\n"
    reproductions = tests()
    for check in _differing(peers, "failed"):
        subject = next(subject for subject in peers if check in subject["claims"])
        file, _, test = reproductions.get(check, "::").partition("::")
        place = f"../{(REPRODUCTIONS / file).relative_to(ROOT)}"
        yield f"### {check}\n"
        yield f"*{subject['claims'][check]}* {WORDS.get(check, '')}\n"
        yield f"Kind: {_kind(check)}.\n"
        for message, titles in _evidence(peers, check).items():
            yield f"- {'; '.join(titles)}: `{message}`"
        yield f"\nReproduction: [`{test}`]({place})." + (
            f" Remedy: {subject['remedies'][check]}\n" if subject["remedies"][check] else "\n"
        )


def _kind(check: str) -> str:
    product = CHECKS[check].default_of
    return f"a default of {product}, which an application may change" if product else "a defect"


def _evidence(peers: Sequence[Mapping[str, Any]], check: str) -> dict[str, list[str]]:
    """Return the messages of the reproductions, each with the titles of its peers."""
    found: dict[str, list[str]] = {}
    for subject in peers:
        messages = subject["reproduced"].get(check, {})
        failed = [name for name, outcome in subject["outcomes"].get(check, {}).items() if outcome == "failed"]
        lines: dict[str, list[str]] = {}
        for name in failed:
            lines.setdefault(messages.get(name, HOLDS), []).append(name)
        for line, names in lines.items():
            where = "" if len(lines) == 1 else f" ({', '.join(names)})"
            found.setdefault(line, []).append(f"{subject['title']}{where}")
    return found


def _applications(others: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not others:
        return
    yield "## Applications\n"
    yield (
        "The same battery on small applications in these styles, and on one released application. Each is\n"
        "installed in an environment of its own and tested from another directory, as its users would\n"
        "([`tests/applications`](../tests/applications)).\n"
    )
    yield "| application | versions | fails |\n|---|---|---|"
    for subject in others:
        outcomes = subject["outcomes"]
        checks = [f"`{check}`{_cell(outcomes[check]).removeprefix(FAILED)}" for check in _failed(subject)]
        yield (
            f"| **{subject['title']}**: {subject['setup']} | {_versions(subject)} |"
            f" {len(checks)} of {applicable(outcomes)}: {', '.join(checks)} |"
        )
    yield ""


def _anchor(check: str) -> str:
    return check.replace(".", "")

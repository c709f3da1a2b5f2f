"""`docs/conformance.md`: what differs, at a glance and one by one. Two runs write the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .environments import ROOT
from .judge import unusual
from .reproduce import HOLDS, REPRODUCTIONS, identities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PAGE = ROOT / "docs" / "conformance.md"
WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
LETTERS = {"sqlite": "S", "postgresql": "P", "mysql": "M"}
FAILED, OPEN, PASSED, NOT_APPLICABLE = "✗", "○", "·", "n/a"

INTRODUCTION = """\
# The peers, side by side

The common ways to bind SQLAlchemy to Flask, each set up as its own documentation does and put through the
same [battery](../flask_sqlalchemy_testbed/battery) on SQLite, PostgreSQL and MySQL. `make conformance`
measures this again and writes this page; it fails when anything on it has changed, for better or worse.

What is here is what each does *unaided*. Much of it is a default of Flask, SQLAlchemy or a driver that the
peer leaves as it is, on purpose, and that an application may set itself; where that is so it is said. No
failure rests on the battery's word: each is reproduced in
[`tests/conformance/reproductions`](../tests/conformance/reproductions), in a few lines that know Flask,
SQLAlchemy and the peer and nothing of this repository. What they print is the evidence quoted below.
"""
LEGEND = f"""\
{FAILED} fails wherever it applies ({FAILED}\u202fS only on SQLite, P PostgreSQL, M MySQL); {PASSED} passes;
n/a does not apply; {OPEN} holds, and leaves a session open after it, for which
`lifecycle.request-ends` fails; {FAILED}\u202fS{OPEN} fails on SQLite and is {OPEN} on the others.
Left out are the checks of promises that only this repository makes, and, where the app is a module
global, those that need a factory.
"""


def render(document: Mapping[str, Any]) -> str:
    """The whole page."""
    peers = [subject for subject in document["subjects"] if subject["is_peer"]]
    others = [subject for subject in document["subjects"] if not subject["is_peer"]]
    parts = [INTRODUCTION, *_who(peers), *_table(peers), *_each(peers), *_applications(others)]
    return "\n".join(parts).rstrip("\n") + "\n"


def in_a_line(subject: Mapping[str, Any]) -> str:
    """One subject, for who waits."""
    found = unusual(subject["outcomes"])
    failed = sum("failed" in by_backend.values() for by_backend in found.values())
    left = sum("failed" not in by_backend.values() for by_backend in found.values())
    more = f", {left} hold and leave a session open" if left else ""
    return f"{subject['name']}: {failed} of {len(subject['outcomes'])} checks failed{more}"


def _who(peers: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    servers: Mapping[str, str] = next((subject["servers"] for subject in peers), {})
    python = next((subject["versions"]["Python"] for subject in peers), "")
    told = ", ".join(f"{name} {version}" for name, version in servers.items())
    yield f"Python {python}; {told}.\n"
    yield "| peer | set up as | versions | fails |\n|---|---|---|---|"
    for subject in peers:
        title = subject["title"]
        if subject["documentation"]:
            title = f"[{title}]({subject['documentation']})"
        versions = ", ".join(
            f"{package} {version}" for package, version in subject["versions"].items() if package != "Python"
        )
        found = unusual(subject["outcomes"])
        failed = sum("failed" in by_backend.values() for by_backend in found.values())
        yield f"| {title} | {subject['setup']} | {versions} | {failed} of {_applicable(subject)} |"
    yield ""


def _applicable(subject: Mapping[str, Any]) -> int:
    return sum(
        any(outcome != "not applicable" for outcome in by_backend.values())
        for by_backend in subject["outcomes"].values()
    )


def _differing(peers: Sequence[Mapping[str, Any]], outcome: str) -> list[str]:
    """The checks that came to that for somebody, in the battery's order."""
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
    alike = [check for check in every if check not in failing]
    opened = [check for check in _differing(peers, "left open") if check not in failing]
    applicable = [
        check
        for check in alike
        if any(
            outcome != "not applicable"
            for subject in peers
            for outcome in subject["outcomes"].get(check, {}).values()
        )
    ]
    yield ""
    yield f"The other {len(applicable)} checks hold for all of them" + (
        f"; of these, {len(opened)} are held by a 2010 pattern with a session left open after it:\n"
        if opened
        else ":\n"
    )
    yield ", ".join(f"`{check}`{f' {OPEN}' if check in opened else ''}" for check in applicable) + ".\n"


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
    yield "## One by one\n"
    tests = identities()
    for check in _differing(peers, "failed"):
        told = next(subject for subject in peers if check in subject["claims"])
        file, _, test = tests.get(check, "::").partition("::")
        place = f"../{(REPRODUCTIONS / file).relative_to(ROOT)}"
        yield f"### {check}\n"
        yield f"*{told['claims'][check]}* {WORDS.get(check, '')}\n"
        for said, who in _evidence(peers, check).items():
            yield f"- {'; '.join(who)}: `{said}`"
        yield f"\nReproduction: [`{test}`]({place})." + (
            f" What mends it: {told['remedies'][check]}\n" if told["remedies"][check] else "\n"
        )


def _evidence(peers: Sequence[Mapping[str, Any]], check: str) -> dict[str, list[str]]:
    """What the reproductions say, each with those of whom they say it."""
    found: dict[str, list[str]] = {}
    for subject in peers:
        said = subject["reproduced"].get(check, {})
        failed = [name for name, outcome in subject["outcomes"].get(check, {}).items() if outcome == "failed"]
        lines: dict[str, list[str]] = {}
        for name in failed:
            lines.setdefault(said.get(name, HOLDS), []).append(name)
        for line, names in lines.items():
            where = "" if len(lines) == 1 else f" ({', '.join(names)})"
            found.setdefault(line, []).append(f"{subject['title']}{where}")
    return found


def _applications(others: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not others:
        return
    yield "## Applications\n"
    yield (
        "The same battery on small applications in these styles, and on one as the package registry has it:\n"
        "each is installed in its own environment, and tried from another directory, as a user would"
        " ([`tests/applications`](../tests/applications)).\n"
    )
    yield "| application | versions | fails |\n|---|---|---|"
    for subject in others:
        versions = ", ".join(
            f"{package} {version}" for package, version in subject["versions"].items() if package != "Python"
        )
        found = unusual(subject["outcomes"])
        failed = [
            f"`{check}`{_cell(subject['outcomes'][check]).removeprefix(FAILED)}"
            for check, by_backend in found.items()
            if "failed" in by_backend.values()
        ]
        yield (
            f"| **{subject['title']}** {subject['setup']} | {versions} |"
            f" {len(failed)} of {_applicable(subject)}: {', '.join(failed)} |"
        )
    yield ""


def _anchor(check: str) -> str:
    return check.replace(".", "")

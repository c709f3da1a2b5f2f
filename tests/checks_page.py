"""Write `docs/checks.md`, which describes each check, and its mistakes: python -m tests.checks_page."""

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import HARM, Check
from flask_sqlalchemy_testbed.checks.explanation import MISTAKES, explanation
from tests.specimens.catalogue import SPECIMENS

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"
INTRODUCTION = """\
# The checks

Each check of the battery has an id, which never changes, and a claim about the app. `--explain ID` prints its
description, `--check ID` runs it alone, and `--exclude ID` leaves it out ([Test your own app](your-app.md)).
`make checks-page` writes this page.

The severity of a check is the harm that a failure does in production:

| severity | meaning |
|---|---|
"""


def mistakes() -> str:
    """Return the file of the mistakes, one a line; `make power` proves that the checks catch them."""
    found = {specimen.mistake: specimen.caught_by for specimen in SPECIMENS.values()}
    lines = [f"{json.dumps(mistake)}: {json.dumps(checks)}" for mistake, checks in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def render() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION.rstrip("\n")]
    lines += [f"| {severity} | {harm} |" for severity, harm in HARM.items()]
    for group, checks in groupby(CHECKS.values(), key=lambda check: check.group):
        lines += ["", f"## {group}"]
        for check in checks:
            lines += _section(check)
    return "\n".join(lines) + "\n"


def _section(check: Check) -> Iterable[str]:
    yield f"\n### {check.id}\n"
    for label, text in explanation(check):
        yield f"{text}\n" if label == "claim" else f"- **{label.capitalize()}:** {_linked(text)}"


def _linked(text: str) -> str:
    sentence, _, url = text.rpartition(" ")
    return f"{sentence} <{url}>" if url.startswith("https://") else text


if __name__ == "__main__":
    MISTAKES.write_text(mistakes(), encoding="utf-8")
    PAGE.write_text(render(), encoding="utf-8")
    print(f"Wrote {PAGE}.")

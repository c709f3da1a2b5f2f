"""Write `docs/checks.md`, which describes each check: python -m tests.checks_page."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import HARM, Check
from flask_sqlalchemy_testbed.checks.explanation import explanation
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
    # `make power` proves that the check catches each of these mistakes.
    mistakes = [specimen.mistake for specimen in SPECIMENS.values() if check.id in specimen.caught_by]
    yield f"\n### {check.id}\n"
    for label, text in explanation(check, mistakes):
        yield f"{text}\n" if label == "claim" else f"- **{label.capitalize()}:** {_linked(text)}"


def _linked(text: str) -> str:
    sentence, _, url = text.rpartition(" ")
    return f"{sentence} <{url}>" if url.startswith("https://") else text


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"Wrote {PAGE}.")

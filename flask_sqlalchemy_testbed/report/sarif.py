"""Write the failures as SARIF 2.1.0, which code scanning services read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask_sqlalchemy_testbed.checks.definition import Severity
from flask_sqlalchemy_testbed.checks.links import DISTRIBUTION, link
from flask_sqlalchemy_testbed.report.causes import groups
from flask_sqlalchemy_testbed.report.matrix import beginning_of
from flask_sqlalchemy_testbed.report.outcome import Outcome
from flask_sqlalchemy_testbed.report.source import located
from flask_sqlalchemy_testbed.report.summary import failed_on, reasons_of

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.causes import Group
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def document(report: Report, folder: Path) -> dict[str, Any]:
    """Return the SARIF log of a report: a rule for each check, and a result for each that failed.

    Args:
        report: The report with its evidence. A known failure is a suppressed result, with its reason.
        folder: The folder that the run began in.
    """
    rules = [_rule(row) for row in report["checks"]]
    indexes = {rule["id"]: index for index, rule in enumerate(rules)}
    shown: Report = {**report, "checks": [_with_known(row) for row in report["checks"]]}
    results = [
        {
            "ruleId": row["id"],
            "ruleIndex": indexes[row["id"]],
            "level": level(row.get("severity", "")),
            "message": {"text": _message(row, group)},
            "locations": _locations(group, folder),
            "partialFingerprints": {"check/v1": row["id"]},
            "suppressions": _suppressions(report, row["id"]),
        }
        for group in groups(shown)
        for row in group.rows
    ]
    driver = {"name": DISTRIBUTION, "version": report["software"].get(DISTRIBUTION, ""), "rules": rules}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def is_ours(path: Path) -> bool:
    """Return whether a file holds a log of this program, or nothing.

    Args:
        path: A regular file.

    Raises:
        OSError: It cannot be read.
    """
    beginning = beginning_of(path, 1000)
    return not beginning or f'"name": "{DISTRIBUTION}"' in beginning


def level(severity: str) -> str:
    """Return the level of a failure, which GitHub's annotations use too.

    Args:
        severity: A value of `Severity`; may be empty.
    """
    return "warning" if severity == Severity.PORTABILITY else "error"


def _rule(row: CheckRow) -> dict[str, Any]:
    more = link(row["id"])
    return {
        "id": row["id"],
        "shortDescription": {"text": row["claim"]},
        "help": {"text": " ".join(filter(None, [row["remedy"] or row["claim"], more and f"See {more}."]))},
        **({"helpUri": more} if more.startswith("https://") else {}),
        "defaultConfiguration": {"level": level(row.get("severity", ""))},
        "properties": {"tags": list(dict.fromkeys(filter(None, [row["group"], row.get("severity", "")])))},
    }


def _with_known(row: CheckRow) -> CheckRow:
    """Return the row with its known failures as failures."""
    known = {Outcome.KNOWN_FAILURE: Outcome.FAILED}
    results = {column: str(known.get(Outcome(one), one)) for column, one in row["results"].items()}
    return {**row, "results": results}


def _message(row: CheckRow, group: Group) -> str:
    sentences = [
        f"{row['id']} failed on {', '.join(failed_on(row))}.",
        f"The claim: {row['claim']}",
        *(f"The evidence: {reason}." for reason in reasons_of(row)),
        f"The cause: {group.summary}" if group.summary else "",
        group.default,
        f"The remedy: {group.remedy}" if group.remedy else "",
    ]
    return "\n\n".join(filter(None, [" ".join(filter(None, sentences)), group.code]))


def _locations(group: Group, folder: Path) -> list[dict[str, Any]]:
    """Return the place of the remedy; never a place in this package."""
    if (place := located(group.at, folder)) is None:
        return []
    file, line = place
    artifact = {"uri": quote(PurePosixPath(Path(file)).as_posix()), "uriBaseId": "%SRCROOT%"}
    if Path(file).is_absolute():
        artifact = {"uri": Path(file).as_uri()}
    return [{"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}}}]


def _suppressions(report: Report, check: str) -> list[dict[str, str]]:
    """Return why a failure is accepted; empty if it is a new one on any backend."""
    row = next(row for row in report["checks"] if row["id"] == check)
    if Outcome.FAILED in row["results"].values():
        return []
    attempts = [attempt for found in report["evidence"].get(check, {}).values() for attempt in found]
    reasons = dict.fromkeys(attempt["accepted"] for attempt in attempts if attempt.get("accepted"))
    return [{"kind": "external", "justification": " ".join(reasons) or "It is in the baseline."}]

"""SARIF, annotations and the summary of a job name places in the user's code."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flask_sqlalchemy_testbed.checks.causes import CAUSES, SESSIONS_STAY_OPEN
from flask_sqlalchemy_testbed.report import github, sarif
from flask_sqlalchemy_testbed.report.matrix import Report
from tests.harness.projects import Project
from tests.harness.reports import attempt
from tests.harness.shops import WITHOUT_REMOVE
from tests.harness.test_causes import BATTERY, failed, with_rows

TEXT = {"type": "string", "minLength": 1}
MESSAGE = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": TEXT},
    "additionalProperties": False,
}
LEVEL = {"enum": ["none", "note", "warning", "error"]}


def exactly(*required: str, **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def each(items: dict[str, object]) -> dict[str, object]:
    return {"type": "array", "items": items}


# What the specification of SARIF 2.1.0 requires of the objects that we write; the numbers are its sections.
RULE = exactly(  # 3.49
    *("id", "shortDescription", "help", "defaultConfiguration", "properties"),
    id=TEXT,
    shortDescription=MESSAGE,
    help=MESSAGE,
    helpUri={"type": "string", "format": "uri"},
    defaultConfiguration=exactly("level", level=LEVEL),
    properties=exactly("tags", tags={**each(TEXT), "uniqueItems": True}),
)
LOCATION = exactly(  # 3.28, 3.29, 3.4 and 3.30
    "physicalLocation",
    physicalLocation=exactly(
        *("artifactLocation", "region"),
        artifactLocation=exactly(
            "uri", uri={"type": "string", "format": "uri-reference"}, uriBaseId={"const": "%SRCROOT%"}
        ),
        region=exactly("startLine", startLine={"type": "integer", "minimum": 1}),
    ),
)
SUPPRESSION = exactly("kind", kind={"enum": ["inSource", "external"]}, justification=TEXT)  # 3.35
RESULT = exactly(  # 3.27
    *("ruleId", "ruleIndex", "level", "message", "locations"),
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=each(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    suppressions=each(SUPPRESSION),
)
DRIVER = exactly("name", "rules", name=TEXT, version=TEXT, rules=each(RULE))  # 3.19
RUN = exactly("tool", "results", tool=exactly("driver", driver=DRIVER), results=each(RESULT))  # 3.14
LOG = exactly(  # 3.13
    *("version", "runs"), **{"$schema": TEXT, "version": {"const": "2.1.0"}, "runs": each(RUN)}
)
PLACES = {"factory_at": "src/a shop.py:7", "engine_at": "src/db.py:3"}


def results(log: dict[str, Any]) -> dict[str, Any]:
    """Validate a log; return its results by the ids of their rules."""
    jsonschema.Draft202012Validator(LOG, format_checker=jsonschema.FormatChecker()).validate(log)
    (run,) = log["runs"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    return {result["ruleId"]: result for result in run["results"]}


def report_of(*rows: Any, **subject: str) -> Report:
    found = with_rows(*rows, **{**PLACES, **subject})
    return {**found, "software": {"flask-sqlalchemy-testbed": "0.2.0"}, "evidence": {}}


def test_a_failure_is_a_result_at_the_place_of_its_remedy(tmp_path: Path) -> None:
    found = results(
        sarif.document(
            report_of(failed("lifecycle.request-ends"), failed("portability.time-zone"), engine_at=""),
            tmp_path,
        )
    )

    leak, zone = found["lifecycle.request-ends"], found["portability.time-zone"]
    assert leak["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "src/a%20shop.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 7},
    }
    assert leak["message"]["text"].startswith("lifecycle.request-ends failed on sqlite. The claim: A request")
    assert "Sessions stay open after their app context." in leak["message"]["text"]
    assert (leak["level"], zone["level"]) == ("error", "warning")
    assert leak["suppressions"] == []


def test_a_known_failure_is_suppressed_with_its_reason(tmp_path: Path) -> None:
    known = failed("binding.fork")
    known["results"] = {"sqlite": "known failure", "mysql": "not run"}
    partly = failed("faults.restart")
    partly["results"] = {"postgresql": "known failure", "mysql": "failed"}
    report = report_of(known, partly)
    accepted = attempt("test_fork[sqlite]", "known failure", reason="assert 1 == 2")
    report["evidence"] = {"binding.fork": {"sqlite": [{**accepted, "accepted": "We run one worker."}]}}

    found = results(sarif.document(report, tmp_path))

    assert found["binding.fork"]["suppressions"] == [
        {"kind": "external", "justification": "We run one worker."}
    ]
    assert "failed on sqlite." in found["binding.fork"]["message"]["text"]
    assert found["faults.restart"]["suppressions"] == []


@pytest.mark.parametrize("mark", ["GITHUB_WORKSPACE", ".git"])
def test_places_are_relative_to_the_root_of_the_repository(
    tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backend"
    folder.mkdir()
    if mark == ".git":
        (tmp_path / mark).mkdir()
    else:
        monkeypatch.setenv(mark, str(tmp_path))

    (line,) = github.annotate(report_of(failed("binding.fork")), folder)

    assert line.startswith("::error title=data at risk%3A binding.fork,file=backend/src/db.py,line=3::")


def test_an_annotation_is_one_line_without_a_place_in_this_package(tmp_path: Path) -> None:
    without = with_rows(failed("lifecycle.request-ends"), failed("transactions.fresh-reads"))

    (line,) = github.annotate(without, tmp_path)

    assert line == (
        "::error title=data at risk%3A lifecycle.request-ends::Sessions stay open after their app context.%0A"
        "Directly after the line that makes the app, have the session removed after all callbacks, also if"
        " one raises. This replaces the line of a teardown callback that removes the session: do not keep"
        " both, but keep the callback's other lines.%0A"
        f"{CAUSES[SESSIONS_STAY_OPEN].code_in({})}%0A".replace("\n", "%0A")
        + "Failed: lifecycle.request-ends, transactions.fresh-reads.%0A"
        "flask-sqlalchemy-testbed --explain lifecycle.request-ends"
    )


def test_a_run_in_a_job_writes_annotations_a_summary_and_sarif(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    summary = project.path / "summary.md"
    summary.write_text("before\n")
    options = ("--testbed-check", "lifecycle.request-ends", "--testbed-sarif", "out/log.sarif", "-n", "2")

    outcome = project.run(
        *BATTERY, *options, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary), GITHUB_WORKSPACE=""
    )

    (line,) = outcome.lines("::")
    assert re.match(r"::error title=data at risk%3A lifecycle\.request-ends,file=shop\.py,line=10::", line)
    assert "flask_sqlalchemy_testbed/" not in line
    assert summary.read_text().startswith("before\n## shop:create_app: 1 of 1 checks failed\n")
    found = results(json.loads((project.path / "out" / "log.sarif").read_text()))
    assert found["lifecycle.request-ends"]["locations"][0]["physicalLocation"]["region"] == {"startLine": 10}


def test_a_run_elsewhere_writes_no_annotations(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.request-ends")

    assert outcome.lines("::") == []


def test_a_summary_that_cannot_be_written_is_one_line(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    check = ("--testbed-check", "lifecycle.request-ends")

    outcome = project.run(*BATTERY, *check, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(project.path))

    assert "The summary of the job was not written: Is a directory." in outcome.text
    assert outcome.code == 1
    assert "INTERNALERROR" not in outcome.text

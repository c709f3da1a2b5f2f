"""Write `docs/applications.md` from the results, which `measured.json` keeps."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.checks.claims import CHECKS
from tests.conformance.environments import ROOT

from .application import Application
from .verdicts import Verdict

PAGE = ROOT / "docs" / "applications.md"
MEASURED = Path(__file__).with_name("measured.json")
# The keys of a result that the page needs. The output of installers stays in build/.
KEPT = ("name", "backend", "commit", "versions", "server", "checks", "failures")
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}

INTRODUCTION = """\
# Public applications

The battery on released applications, unmodified, each in an environment of its own and on databases that it
documents. `make applications` repeats the measurements and writes this page. It needs a network, is not part
of CI, and fails on a false alarm.

Each failure is one of these:

- **of its own**: a few lines that use the application alone, without the testbed, fail as well
  ([`tests/conformance/reproductions`](../tests/conformance/reproductions)).
- **of its binding**: the way in which the application is bound to SQLAlchemy has the failure by default.
  [Conformance](conformance.md) shows it and names the remedy.
- **a false alarm**: neither is true.
"""
UNMEASURED = """\
There was no time for these runs, unless another reason is given. This command makes one of them, and adds it
to this page: `make applications APPLICATIONS="ihatemoney --backend mysql"`.
"""


def number_of(result: Mapping[str, Any], verdict: Verdict) -> int:
    """Return the number of failures with that verdict."""
    return sum(failure["verdict"] == verdict for failure in result.get("failures", ()))


def was_tried(result: Mapping[str, Any]) -> bool:
    """Return whether the battery ran."""
    return "failures" in result


def problems(results: Sequence[Mapping[str, Any]], known: Mapping[str, Application]) -> list[str]:
    """Return a line for each false alarm, and for each description that is not true."""
    lines = []
    for result in results:
        name = f"{result['name']} on {result['backend']}"
        for failure in result.get("failures", ()):
            if failure["verdict"] == Verdict.FALSE_ALARM:
                evidence = failure["evidence"] or "it has no reproduction"
                reason = result.get("reasons", {}).get(failure["check"], "")
                lines.append(f"{name}: {failure['check']} is a false alarm: {evidence}\n{reason}".rstrip())
        obstacle = known[result["name"]].obstacle
        if not was_tried(result) and not obstacle:
            lines.append(f"{name}: could not be tried:\n{result.get('obstacle', '')}")
        if was_tried(result) and obstacle:
            lines.append(f"{name}: was tried, but its description says: {obstacle}")
    return lines


def with_earlier(
    results: Sequence[Mapping[str, Any]], applications: Mapping[str, Application]
) -> list[Mapping[str, Any]]:
    """Return the results, and those of `measured.json` for applications and backends without one.

    A run that did not start, against the description of its application, is no result.
    """
    earlier = json.loads(MEASURED.read_text(encoding="utf-8"))
    now = [result for result in results if was_tried(result) or applications[result["name"]].obstacle]
    by_pair = {(result["name"], result["backend"]): result for result in [*earlier, *now]}
    pairs = [(name, on) for name, application in applications.items() for on in application.backends]
    return [by_pair[pair] for pair in pairs if pair in by_pair]


def write(results: Sequence[Mapping[str, Any]], applications: Mapping[str, Application]) -> None:
    """Write the page, and the results from which it is made."""
    kept = [_keep(result) for result in results]
    MEASURED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(render(kept, applications), encoding="utf-8")


def _keep(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page needs; it does not change when the words of a check do."""
    kept = {key: result[key] for key in KEPT if key in result}
    if was_tried(result):
        kept["failures"] = [
            {**failure, "claim": CHECKS[check].claim, "default_of": CHECKS[check].default_of}
            for failure in result["failures"]
            for check in [failure["check"]]
        ]
    return kept


def render(results: Sequence[Mapping[str, Any]], applications: Mapping[str, Application]) -> str:
    """Return the whole page; equal results return the same."""
    tried: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        if was_tried(result):
            tried.setdefault(result["name"], []).append(result)
    refused = [
        applications[name] for name in dict.fromkeys(one["name"] for one in results) if name not in tried
    ]
    parts = [
        INTRODUCTION,
        *_overview(tried, refused, applications),
        *_table(tried, applications),
        *_own(tried, applications),
        *_of_bindings(tried),
        *_false_alarms(tried, applications),
        *_unmeasured(results, applications),
        *_refused(refused),
        *_made(tried, applications),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _overview(
    tried: Mapping[str, Sequence[Mapping[str, Any]]],
    refused: Sequence[Application],
    applications: Mapping[str, Application],
) -> Iterable[str]:
    measured = [result for results in tried.values() for result in results]
    runs = sum(len(application.backends) for application in applications.values() if not application.obstacle)
    numbers = {verdict: sum(number_of(result, verdict) for result in measured) for verdict in Verdict}
    commits = ", ".join(f"`{one}`" for one in dict.fromkeys(result["commit"] for result in measured))
    yield "| | |\n|---|--:|"
    yield f"| applications tried | {len(tried)} |"
    yield f"| applications that could not be tried | {len(refused)} |"
    yield f"| runs measured (an application on a database), of {runs} described | {len(measured)} |"
    yield f"| failures of their own | {numbers[Verdict.OWN]} |"
    yield f"| failures of their bindings | {numbers[Verdict.BINDING]} |"
    yield f"| false alarms | {numbers[Verdict.FALSE_ALARM]} |\n"
    pythons = ", ".join(dict.fromkeys(result["versions"]["Python"] for result in measured))
    yield f"Measured at commit {commits}, with Python {pythons}.\n"


def _table(
    tried: Mapping[str, Sequence[Mapping[str, Any]]], applications: Mapping[str, Application]
) -> Iterable[str]:
    yield "## Tried\n"
    yield "| application | versions | it documents | tried on | checks that apply | own | binding |"
    yield "|---|---|---|---|--:|--:|--:|"
    for name, results in tried.items():
        application = applications[name]
        versions = ", ".join(
            f"{package} {version}"
            for package, version in results[0]["versions"].items()
            if package != "Python"
        )
        for number, result in enumerate(results):
            first = f"{_title(application)}: {application.setup} | {versions} | {application.documented}"
            yield (
                f"| {first if number == 0 else ' | | '}"
                f" | {NAMES[result['backend']]} {result['server'].partition(' ')[0]} | {result['checks']}"
                f" | {number_of(result, Verdict.OWN)} | {number_of(result, Verdict.BINDING)} |"
            )
    yield ""


def _title(application: Application) -> str:
    link = application.documentation
    return f"[{application.title}]({link})" if link else application.title


def _own(
    tried: Mapping[str, Sequence[Mapping[str, Any]]], applications: Mapping[str, Application]
) -> Iterable[str]:
    yield "## Failures of their own\n"
    yield "The quoted evidence is the output of the reproduction.\n"
    for name, results in tried.items():
        found: dict[tuple[str, str, str], list[str]] = {}
        for result in results:
            for failure in result["failures"]:
                if failure["verdict"] == Verdict.OWN:
                    key = (failure["check"], failure["claim"], failure["evidence"])
                    found.setdefault(key, []).append(NAMES[result["backend"]])
        if found:
            yield f"### {applications[name].title}\n"
            for (check, claim, evidence), names in found.items():
                text = f" `{evidence}`" if evidence else " It leaves a session open."
                yield f"- `{check}` ({', '.join(names)}): *{claim}*{text}"
            yield ""


def _of_bindings(tried: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    names: dict[tuple[str, str], set[str]] = {}
    for name, results in tried.items():
        for result in results:
            for failure in result["failures"]:
                if failure["verdict"] == Verdict.BINDING:
                    names.setdefault((failure["check"], failure["default_of"]), set()).add(name)
    yield "## Failures of their bindings\n"
    yield "| check | applications | a default of |\n|---|--:|---|"
    for (check, default_of), found in sorted(names.items(), key=lambda one: (-len(one[1]), one[0])):
        link = f"[{check}](conformance.md#{check.replace('.', '')})"
        yield f"| {link} | {len(found)} | {default_of or 'the binding'} |"
    yield ""


def _false_alarms(
    tried: Mapping[str, Sequence[Mapping[str, Any]]], applications: Mapping[str, Application]
) -> Iterable[str]:
    yield "## False alarms\n"
    lines = [
        f"- {applications[name].title} on {NAMES[result['backend']]}: `{failure['check']}`"
        for name, results in tried.items()
        for result in results
        for failure in result["failures"]
        if failure["verdict"] == Verdict.FALSE_ALARM
    ]
    yield "\n".join(lines or ["None."]) + "\n"


def _unmeasured(
    results: Sequence[Mapping[str, Any]], applications: Mapping[str, Application]
) -> Iterable[str]:
    measured = {(result["name"], result["backend"]) for result in results}
    yield "## Described, and not measured\n"
    missing = {
        application.title: [NAMES[on] for on in application.backends if (name, on) not in measured]
        for name, application in applications.items()
        if not application.obstacle
    }
    reasons = {application.title: application.unmeasured for application in applications.values()}
    lines = [
        f"- {title} on {', '.join(names)}{f': {reasons[title]}' if reasons[title] else ''}"
        for title, names in missing.items()
        if names
    ]
    if any(missing.values()):
        yield UNMEASURED
    yield "\n".join(lines or ["None."]) + "\n"


def _refused(refused: Sequence[Application]) -> Iterable[str]:
    yield "## Could not be tried\n"
    if not refused:
        yield "None.\n"
        return
    yield "| application | package | why |\n|---|---|---|"
    for application in refused:
        yield (
            f"| {_title(application)}: {application.setup}"
            f" | `{application.requirements[0]}` | {application.obstacle} |"
        )
    yield ""


def _made(
    tried: Mapping[str, Sequence[Mapping[str, Any]]], applications: Mapping[str, Application]
) -> Iterable[str]:
    yield "## How they are made\n"
    yield (
        "No application is changed. Each has a description and a `peer.py` of a few lines in"
        " [`tests/public/applications`](../tests/public/applications), which calls the application's factory"
        " with the URI of a database of the run. The reproductions use the same file.\n"
    )
    for name in tried:
        application = applications[name]
        options = f" Options: `{' '.join(application.options)}`." if application.options else ""
        yield f"- **{application.title}**: {application.because}{options}"
    yield ""

"""Choose the tests to run: the checks that the options name or exclude, on suitable backends."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import OWN_SESSIONS, POOLED, Backend
from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.checks.definition import PROMISES, Check
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.app_option import LACKS, lacking, promises
from flask_sqlalchemy_testbed.plugin.containment import BATTERY, names_battery

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

# How many tests were left out for which reason. A worker that ends well sends it in `workeroutput`: all
# workers count the same.
_COUNTS: pytest.StashKey[dict[str, int]] = pytest.StashKey()
_OUTPUT = "testbed_not_applicable"
# An attribute of a report, which pytest-xdist passes on to the controller: why the check does not apply.
MARK, CATEGORY = "testbed_inapplicable", "not applicable"


def backend_of(item: pytest.Item) -> Backend | None:
    """Return the backend that a test runs on; None for a test that does not depend on one."""
    callspec = getattr(item, "callspec", None)
    backend = callspec.params.get("testbed_backend") if callspec is not None else None
    return backend if isinstance(backend, Backend) else None


def backends_of(item: pytest.Item) -> list[str]:
    """Return the backend that a test runs on, by name; all if it does not depend on one."""
    backend = backend_of(item)
    return [chosen.name for chosen in ([backend] if backend else item.config.stash[state.BACKENDS])]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore modules of the battery without a check that the user names: their import takes a while."""
    wanted = set(settings.given(config, "check") or ())
    if not wanted or collection_path.parent != BATTERY or collection_path.suffix != ".py":
        return None
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use

    if not wanted <= CHECKS.keys():
        return None  # The message on an unknown check needs all.
    return collection_path.stem not in {f"test_{CHECKS[name].group}" for name in wanted} or None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Any:
    """Leave out other checks before all other plugins, and tests that do not apply after them."""
    collected = {check.id for item in items if (check := check_of(item)) is not None}
    if wanted := set(settings.given(config, "check") or ()):
        _leave_out_other_checks(config, items, wanted)
    else:
        _leave_out_optional(config, items)
    if excluded := set(settings.setting(config, "exclude") or ()):
        _leave_out_excluded(config, items, excluded, collected)
    result = yield
    _refuse_useless_marks(items)
    _leave_out_not_applicable(config, items)
    return result


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return a line that names the excluded checks, in a run of the battery."""
    excluded = sorted(set(settings.setting(config, "exclude") or ()))
    battery = settings.given(config, "app") or any(map(names_battery, config.args))
    return [f"excluded: {', '.join(excluded)}"] if excluded and battery else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark the report of a check that found, while it ran, that it does not apply to the app."""
    report = yield
    if report.skipped and state.NOT_APPLICABLE in item.stash:
        vars(report)[MARK] = item.stash[state.NOT_APPLICABLE]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count such a check as not applicable."""
    return (CATEGORY, "-", "NOT APPLICABLE") if hasattr(report, MARK) else None


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Return a line for each reason why tests do not apply."""
    # Of tests: a check may have several.
    return _lines(_counts(config))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts of a worker."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output[_OUTPUT] = dict(_counts(session.config))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker."""
    if counts := getattr(node, "workeroutput", {}).get(_OUTPUT):
        node.config.stash[_COUNTS] = counts


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Write the lines in a parallel run, and the reason if no test was left.

    The controller of a parallel run collects no tests.
    """
    if state.RUN_NAME in config.stash:
        for line in pytest_report_collectionfinish(config):
            terminalreporter.write_line(line)
    found = Counter(getattr(report, MARK) for report in terminalreporter.getreports(CATEGORY))
    for line in _lines(found):
        terminalreporter.write_line(line)
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        chosen = [backend.name for backend in config.stash[state.BACKENDS]]
        words = set(re.findall(r"\w+", f"{config.option.markexpr} {config.option.keyword}"))
        for name in sorted(BACKENDS.keys() & words - set(chosen)):
            terminalreporter.write_line(
                f"{name} is not among the backends of this run ({', '.join(chosen)}), and -m and -k add none."
                f" Add {flag('backend')} {','.join([*chosen, name])}."
            )


def _lines(counts: Mapping[str, int]) -> list[str]:
    return [
        f"not applicable: {count} test{'s' * (count != 1)} ({reason})"
        for reason, count in sorted(counts.items())
    ]


def _counts(config: pytest.Config) -> dict[str, int]:
    none: dict[str, int] = {}
    return config.stash.get(_COUNTS, none)


def _leave_out_other_checks(config: pytest.Config, items: list[pytest.Item], wanted: set[str]) -> None:
    ids = {item: check.id for item in items if (check := check_of(item)) is not None}
    if unknown := wanted - set(ids.values()):
        # A wrong option runs no tests, so reports must list none.
        items.clear()
        message = unknown_checks(sorted(unknown), sorted(set(ids.values())))
        raise pytest.UsageError(message)
    config.hook.pytest_deselected(items=[item for item in items if ids.get(item) not in wanted])
    items[:] = [item for item in items if ids.get(item) in wanted]


def _leave_out_excluded(
    config: pytest.Config, items: list[pytest.Item], excluded: set[str], collected: set[str]
) -> None:
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use

    ids = {item: check.id for item in items if (check := check_of(item)) is not None}
    # The battery's ids are known in a run of other tests too, for which a configuration file excludes some.
    known = {*CHECKS, *collected}
    if unknown := excluded - known:
        items.clear()
        raise pytest.UsageError(unknown_checks(sorted(unknown), sorted(known)))
    left_out = [item for item in items if ids.get(item) in excluded]
    items[:] = [item for item in items if ids.get(item) not in excluded]
    config.hook.pytest_deselected(items=left_out)


def _leave_out_optional(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the checks that only an option includes."""

    def is_wanted(check: Check) -> bool:
        if check.group == PROMISES:
            return promises(config)
        return not check.option or bool(settings.setting(config, check.option))

    left_out = [item for item in items if (check := check_of(item)) is not None and not is_wanted(check)]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def unknown_checks(names: list[str], known: list[str]) -> str:
    """Return the message on ids that are no checks.

    Args:
        names: The unknown ids.
        known: All ids.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - on use

    near = [
        match
        for name in names
        # A part of an id is nearer than one that is as long.
        for match in [one for one in known if name in one][:3] or get_close_matches(name, known)
    ]
    groups = {name.partition(".")[0] for name in names}
    of_group = [name for name in known if name.partition(".")[0] in groups]
    if near:
        choice = f"Did you mean {' or '.join(near)}?"
    elif of_group:
        choice = f"Choose from: {', '.join(of_group)}."
    else:
        choice = "List all checks: flask-sqlalchemy-testbed --list."
    return f"Unknown check {', '.join(names)}. {choice}"


def _leave_out_not_applicable(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if reason := _missing(config, item):
            item.stash[state.NOT_APPLICABLE] = reason
    left_out = [item for item in items if state.NOT_APPLICABLE in item.stash]
    config.stash[_COUNTS] = Counter(item.stash[state.NOT_APPLICABLE] for item in left_out)
    if left_out:
        items[:] = [item for item in items if state.NOT_APPLICABLE not in item.stash]
        config.hook.pytest_deselected(items=left_out)


def _needed(item: pytest.Item) -> set[str]:
    return {name for mark in item.iter_markers("testbed_needs") for name in mark.args}


def _refuse_useless_marks(items: list[pytest.Item]) -> None:
    """Raise UsageError for a mark that names an unknown capability, or that has no backend to apply to."""
    marked = [(item, needed) for item in items if (needed := _needed(item))]
    if not marked:
        return
    from difflib import get_close_matches  # noqa: PLC0415 - on use

    from flask_sqlalchemy_testbed.servers.network import OF_A_CONTAINER  # noqa: PLC0415 - on use

    known = sorted(
        {*LACKS, *OF_A_CONTAINER, OWN_SESSIONS, POOLED}.union(
            *(one.capabilities for one in BACKENDS.values())
        )
    )
    for item, needed in marked:
        if unknown := sorted(needed.difference(known)):
            near = get_close_matches(unknown[0], known, 1)
            choice = f"Did you mean {near[0]}?" if near else f"Choose from: {', '.join(known)}."
            message = f"{item.nodeid} is marked as needing {unknown[0]!r}, which is no capability. {choice}"
        elif backend_of(item) is None:
            message = (
                f"{item.nodeid} is marked with testbed_needs, but it runs on no backend."
                " Let it use the fixture testbed_backend, or remove the mark."
            )
        else:
            continue
        items.clear()
        raise pytest.UsageError(message)


def _missing(config: pytest.Config, item: pytest.Item) -> str:
    needed = _needed(item)
    backend = backend_of(item)
    if not needed or backend is None:
        return ""
    return lacking(config, needed) or backend.lacks(needed - LACKS.keys(), _capabilities(config, backend))


def _capabilities(config: pytest.Config, backend: Backend) -> Iterable[str]:
    run = config.stash.get(state.RUN, None)
    if run and backend.name in run.servers:
        return run.servers[backend.name].capabilities
    from flask_sqlalchemy_testbed.servers.network import expected_capabilities  # noqa: PLC0415 - on use

    return expected_capabilities(backend, settings.setting(config, "pooler"))

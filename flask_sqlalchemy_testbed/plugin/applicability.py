"""Leave out tests whose `testbed_needs` mark names capabilities that the backend or the app lacks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.app_option import LACKS, lacking

if TYPE_CHECKING:
    from collections.abc import Iterable

_COUNTS = pytest.StashKey[Counter[str]]()
_TOLD = pytest.StashKey[bool]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the runs of tests that cannot apply; they are counted and told, not skipped."""
    counts: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        if reason := _missing(config, item):
            counts[reason] += 1
            item.stash[state.NOT_APPLICABLE] = reason
            left_out.append(item)
        else:
            kept.append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)
    config.stash[_COUNTS] = counts
    if (controller := config.stash.get(state.CONTROLLER, None)) is not None:
        controller.ask("not applicable", counts)


def pytest_configure(config: pytest.Config) -> None:
    """Has the workers of a parallel run say what they left out; all leave out the same."""
    if (workers := config.stash.get(state.WORKERS, None)) is not None:
        workers.answers["not applicable"] = lambda counts: config.stash.setdefault(_COUNTS, counts) and None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Tells it when the first worker knows: nothing is collected by who leads them."""
    if node.config.stash.get(_TOLD, False):
        return
    node.config.stash[_TOLD] = True
    if (reporter := node.config.pluginmanager.get_plugin("terminalreporter")) is not None:
        if reporter.isatty:  # pytest-xdist's own line is to be written over.
            reporter.rewrite("", erase=True)
            reporter.rewrite("")
        for line in pytest_report_collectionfinish(node.config):
            reporter.write_line(line)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """One line a reason."""
    return [
        f"not applicable: {count} ({reason})"
        for reason, count in sorted(config.stash.get(_COUNTS, Counter()).items())
    ]


def _missing(config: pytest.Config, item: pytest.Item) -> str:
    marks = list(item.iter_markers("testbed_needs"))
    callspec = getattr(item, "callspec", None)
    backend = callspec.params.get("testbed_backend") if callspec is not None else None
    if not marks or not isinstance(backend, Backend):
        return ""
    needed = {name for mark in marks for name in mark.args}
    return lacking(config, needed) or backend.lacks(needed - LACKS.keys(), _capabilities(config, backend))


def _capabilities(config: pytest.Config, backend: Backend) -> Iterable[str]:
    from flask_sqlalchemy_testbed.servers.network import expected_capabilities  # noqa: PLC0415

    run = config.stash.get(state.RUN, None)
    server = run.servers.get(backend.name) if run else None
    return server.capabilities if server else expected_capabilities(backend)

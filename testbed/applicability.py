"""`@pytest.mark.needs("server")`: a test asks its server for named capabilities, never for its name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from testbed import stash
from testbed.backend import Backend
from testbed.subjects import PROMISES, promises

if TYPE_CHECKING:
    from collections.abc import Iterable

_COUNTS = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the runs of tests that cannot apply; they are counted and told, not skipped."""
    counts: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        if reason := _missing(config, item):
            counts[reason] += 1
            item.stash[stash.NOT_APPLICABLE] = reason
            left_out.append(item)
        else:
            kept.append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)
    config.stash[_COUNTS] = counts


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """One line a reason."""
    return [
        f"not applicable: {count} ({reason})"
        for reason, count in sorted(config.stash.get(_COUNTS, Counter()).items())
    ]


def _missing(config: pytest.Config, item: pytest.Item) -> str:
    marks = list(item.iter_markers("needs"))
    callspec = getattr(item, "callspec", None)
    backend = callspec.params.get("backend") if callspec is not None else None
    if not marks or not isinstance(backend, Backend):
        return ""
    missing = {name for mark in marks for name in mark.args} - set(_capabilities(config, backend))
    if PROMISES in missing:
        if not promises(config):
            return "the subject does not promise it"
        missing.remove(PROMISES)
    return f"{backend.name} lacks {', '.join(sorted(missing))}" if missing else ""


def _capabilities(config: pytest.Config, backend: Backend) -> Iterable[str]:
    from testbed.servers import expected_capabilities  # noqa: PLC0415

    run = config.stash.get(stash.RUN, None)
    server = run.servers.get(backend.name) if run else None
    return server.capabilities if server else expected_capabilities(backend)

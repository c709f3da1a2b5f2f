"""`--testbed-check binding.two-apps`: runs checks by their ids."""

from __future__ import annotations

from difflib import get_close_matches

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import settings


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out all other tests; an id that nobody has is a mistake."""
    if not (wanted := set(settings.given(config, "check") or ())):
        return
    ids = {item: it.id for item in items if (it := check_of(item)) is not None}
    if unknown := wanted - set(ids.values()):
        known = sorted(set(ids.values()))
        near = [match for name in sorted(unknown) for match in get_close_matches(name, known)]
        choice = f"Did you mean {' or '.join(near)}?" if near else f"Choose from: {', '.join(known)}."
        # None of them has been tried, nor is to be told of.
        items.clear()
        message = f"Unknown check {', '.join(sorted(unknown))}. {choice}"
        raise pytest.UsageError(message)
    left_out = [item for item in items if ids.get(item) not in wanted]
    items[:] = [item for item in items if ids.get(item) in wanted]
    config.hook.pytest_deselected(items=left_out)

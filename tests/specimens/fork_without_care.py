"""A pool that is filled before the workers are forked, by whatever the app does when it is made."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Parent and children use the same connections, one talking into the other's conversation.",
    met="nautobot/nautobot#127, votingworks/arlo#1040, PyMySQL/PyMySQL#606",
    caught_by=("binding.fork",),
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if CORRECTED:
        os.register_at_fork(after_in_child=partial(app.extensions["engine"].dispose, close=False))
    app.teardown_appcontext(lambda _: session.remove())
    return app

"""A session that is committed instead of removed, and expires nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The thread's next request is given the objects of earlier ones, as they were then.",
    met="conda-incubator/conda-store#105",
    caught_by=("lifecycle.no-stale-object",),
)

session = scoped(lambda: new_session(expire_on_commit=False), scope=None)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)

    @app.teardown_appcontext
    def end(_: object) -> None:
        if CORRECTED:
            session.remove()
        else:
            session.commit()

    return app

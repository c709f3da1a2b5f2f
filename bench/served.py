"""What gunicorn serves: the ledger, on its own binding or with `with Session(engine)` in the views.

`BENCH_SERVED` names the file that says which, and where the database is: its URI has a password.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

# Two of these together are less than a server takes by default; who finds no connection waits for one.
POOL = {"pool_size": 20, "max_overflow": 0}


def create() -> Flask:
    """The app, with its tables."""
    told = json.loads(Path(os.environ["BENCH_SERVED"]).read_text(encoding="utf-8"))
    if told["plain"]:
        import bench.plain  # noqa: PLC0415 - this process alone runs on it

        sys.modules["app.database"] = bench.plain
    from app import create_app  # noqa: PLC0415 - what it imports has been decided above
    from app.database import create_all  # noqa: PLC0415

    app = create_app({"DATABASE_URI": told["uri"], "DATABASE_ENGINE_OPTIONS": POOL})
    with app.app_context():
        create_all()
    return app

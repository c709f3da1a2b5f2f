"""Create the app that gunicorn serves: the ledger, with its binding or without it.

Without it, the views use `with Session(engine)`.

`BENCH_SERVED` names a file with the choice and the URI, which has a password.
"""

import json
import os
import sys
import time
from pathlib import Path

from flask import Flask

PROCESSOR_TIME = "/bench/processor-time"
# Two of these need fewer connections than a server allows by default.
POOL = {"pool_size": 20, "max_overflow": 0}


def create() -> Flask:
    """Create the app and its tables."""
    settings = json.loads(Path(os.environ["BENCH_SERVED"]).read_text(encoding="utf-8"))
    if settings["plain"]:
        import bench.plain  # noqa: PLC0415 - only this process uses it

        sys.modules["app.database"] = bench.plain
    from app import create_app  # noqa: PLC0415 - the lines above choose the binding that it imports
    from app.database import create_all  # noqa: PLC0415

    app = create_app({"DATABASE_URI": settings["uri"], "DATABASE_ENGINE_OPTIONS": POOL})
    with app.app_context():
        create_all()
    # gunicorn has one worker process here.
    app.add_url_rule(PROCESSOR_TIME, view_func=lambda: str(time.process_time()))
    return app

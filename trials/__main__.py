"""Serve the trial at http://localhost:8000, or at the port ``APP_PORT``.

The command is ``python -m trials``.

The server and its settings are those of the container, but it listens on the loopback address only.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    bind = f"127.0.0.1:{os.environ.get('APP_PORT', '8000')}"
    settings = ["--config", str(ROOT / "docker/app/gunicorn.conf.py"), "--chdir", str(ROOT), "--bind", bind]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *settings])  # noqa: S606 - no shell is involved

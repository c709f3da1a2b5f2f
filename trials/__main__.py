"""Serve the trial at http://localhost:8000, or at the port ``APP_PORT``.

The command is ``python -m trials``.

The server and its settings are those of the container, but it listens on the loopback address only.
"""

import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGEST_PORT = 65535


def port_from(value: str) -> int:
    """Return the port that ``APP_PORT`` names, if the server can listen on it.

    gunicorn itself tries five times to bind, and its messages do not name the variable.

    Args:
        value: The value of ``APP_PORT``.

    Returns:
        The port.

    Raises:
        SystemExit: The value is no port, or another process listens there. The message says what to do.
    """
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= LARGEST_PORT):
        sys.exit(f"APP_PORT is {value!r}. Set it to a port number from 1 to {LARGEST_PORT}.")
    with socket.socket() as probe:
        # As gunicorn does: a connection of an earlier server that still closes is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(value)))
        except PermissionError:
            sys.exit(
                f"This user may not listen on port {value}. Choose a port above 1023: APP_PORT=8765 make run"
            )
        except OSError:
            free = int(value) + 1 if int(value) < LARGEST_PORT else 8000
            sys.exit(f"Port {value} is in use. Choose another one: APP_PORT={free} make run")
    return int(value)


if __name__ == "__main__":
    bind = f"127.0.0.1:{port_from(os.environ.get('APP_PORT', '8000'))}"
    settings = ["--config", str(ROOT / "docker/app/gunicorn.conf.py"), "--chdir", str(ROOT), "--bind", bind]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *settings])  # noqa: S606 - no shell is involved

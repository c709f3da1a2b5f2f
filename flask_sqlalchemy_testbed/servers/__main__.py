"""List or end the servers that linger: `python -m flask_sqlalchemy_testbed.servers list`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """List the servers that linger on this machine, or remove them, also those in use by a run.

    They are those of this user, from all projects.
    """
    parser = argparse.ArgumentParser(
        prog="python -m flask_sqlalchemy_testbed.servers", description=main.__doc__
    )
    parser.add_argument("action", choices=["list", "remove"])
    action = parser.parse_args(arguments).action
    from flask_sqlalchemy_testbed.backends import BACKENDS  # noqa: PLC0415 - not for --help
    from flask_sqlalchemy_testbed.servers import images, names  # noqa: PLC0415

    try:
        backend = next(known for known in BACKENDS.values() if known.recipe is not None)
        client = images.connect(backend)
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    found = names.servers(client)
    lines = [names.description(server) for server in found] or ["No server lingers."]
    if action == "remove":
        names.remove(found)
        lines = [f"Removed {line}" for line in lines] if found else lines
    client.close()
    print("\n".join(lines))  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())

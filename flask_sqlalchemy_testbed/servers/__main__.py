"""Remove the servers of earlier runs: `python -m flask_sqlalchemy_testbed.servers remove`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Remove all servers that `--testbed-keep-servers` left on this machine.

    Those of other projects are removed too.
    """
    parser = argparse.ArgumentParser(
        prog="python -m flask_sqlalchemy_testbed.servers", description=main.__doc__
    )
    parser.add_argument("action", choices=["remove"])
    parser.parse_args(arguments)
    from flask_sqlalchemy_testbed.backends import BACKENDS  # noqa: PLC0415 - not for --help
    from flask_sqlalchemy_testbed.servers import images  # noqa: PLC0415
    from flask_sqlalchemy_testbed.servers.containers import remove_reusable  # noqa: PLC0415

    try:
        backend = next(known for known in BACKENDS.values() if known.recipe is not None)
        removed = remove_reusable(images.connect(backend))
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    lines = [f"Removed {server}." for server in removed] or ["There are no servers to remove."]
    print("\n".join(lines))  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())

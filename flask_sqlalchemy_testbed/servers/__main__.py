"""`python -m flask_sqlalchemy_testbed.servers remove`: remove the servers that earlier runs kept."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Remove the servers that `--testbed-keep-servers` has left."""
    parser = argparse.ArgumentParser(
        prog="python -m flask_sqlalchemy_testbed.servers", description=main.__doc__
    )
    parser.add_argument("what", choices=["remove"])
    parser.parse_args(arguments)
    from flask_sqlalchemy_testbed.backends import BACKENDS  # noqa: PLC0415
    from flask_sqlalchemy_testbed.servers import images  # noqa: PLC0415
    from flask_sqlalchemy_testbed.servers.containers import remove_kept  # noqa: PLC0415

    try:
        backend = next(known for known in BACKENDS.values() if known.recipe is not None)
        removed = remove_kept(images.connect(backend))
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print("\n".join(f"removed {server}" for server in removed) or "there was none")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

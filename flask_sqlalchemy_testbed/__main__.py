"""Put a Flask app through the battery: `python -m flask_sqlalchemy_testbed myapp:create_app`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NoReturn

from flask_sqlalchemy_testbed.backends import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from flask_sqlalchemy_testbed.backends.base import Backend

EPILOG = """\
Where the app is not named it is found as flask finds it: by FLASK_APP, in wsgi.py, in app.py. It gets the URI
of a database that the run made for itself as a mapping, in keyword arguments, as a config class or file, or
in an environment variable, whichever it takes; to another database it may not connect while it starts. What
follows -- is for pytest.

The exit status is 0 when every check that applies holds, 1 when one fails, and 2 or more when the app could
not be tried.

  python -m flask_sqlalchemy_testbed
  python -m flask_sqlalchemy_testbed myapp:create_app --backend sqlite,postgresql
  python -m flask_sqlalchemy_testbed "myapp:create_app('testing')" --uri-env DATABASE_URL
"""
REPORT = "testbed-report"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    options = _parser().parse_args(words[:cut])
    backends = options.backend or [backend.name for backend in BACKENDS.values() if can_be_had(backend)]
    if missing := [] if options.backend else [name for name in BACKENDS if name not in backends]:
        print(f"No Docker engine answers, so it is not tried on {' and '.join(missing)}.", flush=True)  # noqa: T201
    command = [
        "--pyargs",
        "flask_sqlalchemy_testbed.battery",
        "--testbed-backend",
        ",".join(backends),
        "--testbed-report",
        options.report,
    ]
    # What the project tells pytest to do with its own tests is not meant for these.
    command += ["-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings="]
    if not entry_points(group="pytest11", name="flask_sqlalchemy_testbed"):
        command += ["-p", "flask_sqlalchemy_testbed.plugin.plugin"]
    for name in ("app", "session", "uri_key", "uri_env", "baseline", "start_timeout"):
        if value := getattr(options, name):
            command += [f"--testbed-{name.replace('_', '-')}", str(value)]
    for name in ("driver", "check"):
        command += [word for value in getattr(options, name) for word in (f"--testbed-{name}", value)]
    import pytest  # noqa: PLC0415 - not for --help

    more = words[cut + 1 :]
    # It imports itself before pytest can rewrite it, which concerns nobody.
    command += ["-r", "N", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    brief = not any(word.startswith("--tb") for word in more)
    return int(pytest.main([*command, *more], plugins=[_Brief()] if brief else []))


class _Brief:
    """Tracebacks are in the report; who wants them here asks for them, as in `-- --tb=short`."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        session.config.option.tbstyle = "no"


def can_be_had(backend: Backend) -> bool:
    """Whether there is such a server, or an engine to start one; nothing is started."""
    if backend.recipe is None:
        return True
    from flask_sqlalchemy_testbed.servers.given import variable  # noqa: PLC0415
    from flask_sqlalchemy_testbed.servers.images import connect  # noqa: PLC0415
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415

    if os.environ.get(variable(backend)):
        return True
    try:
        connect(backend).close()
    except ServerError:
        return False
    return True


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line; the usage is in --help."""
        if "unrecognized" in message:
            message += " (the app is named without --app; options of pytest come after --)"
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m flask_sqlalchemy_testbed",
        description="Puts a Flask app through every known way that a binding of SQLAlchemy goes wrong.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "app", nargs="?", help="module:factory, module:app, module, or a file (default: as flask finds it)"
    )
    parser.add_argument(
        "--backend",
        type=_backends,
        default=[],
        metavar="NAMES",
        help=f"try it on these: {', '.join(BACKENDS)} (default: SQLite, and the others where Docker answers)",
    )
    parser.add_argument(
        "--session", metavar="NAME", help="module:attribute of its session, or of a callable that returns it"
    )
    parser.add_argument("--uri-key", metavar="KEY", help="the key under which its configuration has the URI")
    parser.add_argument(
        "--uri-env", metavar="NAME", help="the environment variable in which it finds the URI"
    )
    parser.add_argument(
        "--driver", action="append", default=[], metavar="BACKEND=DRIVER", help="such as postgresql=psycopg"
    )
    parser.add_argument("--baseline", metavar="FILE", help="known failures: written by the first run")
    parser.add_argument("--check", action="append", default=[], metavar="ID", help="only this check")
    parser.add_argument(
        "--start-timeout",
        type=float,
        metavar="SECONDS",
        help="how long the app may take to start (default: 30)",
    )
    parser.add_argument(
        "--report", default=REPORT, metavar="DIR", help=f"write a report there (default: {REPORT})"
    )
    return parser


def _backends(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in BACKENDS:
            message = f"unknown backend {name!r}; choose from: {', '.join(BACKENDS)}"
            raise argparse.ArgumentTypeError(message)
    return names


if __name__ == "__main__":
    sys.exit(main())

"""Define the command `flask testbed`, also `flask-sqlalchemy-testbed` and `python -m`.

Every `flask` command imports this module, so it imports click and the table of options alone.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flask_sqlalchemy_testbed.options import OPTIONS, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.options import Option

HELP = """\
Test how a Flask app uses SQLAlchemy: run each check of the battery against it.

APP is a factory, an app, a module or a file: shop:create_app, "shop:create_app('testing')", shop.py. Without
APP the command takes the app that flask finds: --app of flask, FLASK_APP, wsgi.py, app.py. The command gives
the app the URI of an empty database, which it makes for this run, and refuses connections to any other. It
reads no conftest.py and no configuration file of pytest. Options of pytest follow `--`. Of pytest's plugins
it loads pytest-xdist, which runs several checks at once, and those that `-- -p NAME` names.
"""
EPILOG = """\
Exit status: 0 if each check that applies passed; 1 if a check failed; 2 for Ctrl-C, or for an option,
backend or check that is unknown; 3 for an internal error; 4 if no check failed, but the app could not be
tested, a value cannot be used, or a file could not be written; 5 if no check applies.
"""
REPORT = "testbed-report"
DEFAULTS = {
    "backend": "sqlite, and postgresql and mysql if a Docker engine answers",
}
BATTERY = Path(__file__).with_name("battery")
PLUGIN = "flask_sqlalchemy_testbed.plugin.plugin"


class _Command(click.Command):
    """Report a usage error in one line, and keep the words after `--` for pytest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[__name__] = args[end + 1 :]
        try:
            return super().parse_args(ctx, args[:end])
        except click.UsageError as error:
            message = error.format_message()
            if isinstance(error, click.NoSuchOption):
                message += " Options of pytest follow `--`."
            full_stop = "" if message.endswith((".", "?")) else "."
            message += f"{full_stop} See {ctx.command_path} --help."
            raise click.UsageError(message) from None


def _run(app: str | None, **values: Any) -> None:
    """Run pytest on the battery, with a configuration of its own, and exit with its status."""
    ctx = click.get_current_context()
    _prepare_process()
    if values["testbed_report"] is None and not values["testbed_check"]:
        # A report of some checks must not replace that of all.
        values["testbed_report"] = REPORT
    values["testbed_app"] = app or values["testbed_app"] or _app_of_flask(ctx)
    values["testbed_backend"] = values["testbed_backend"] or _available_backends()
    parallel = _parallel(ctx.meta[__name__], values["testbed_backend"], values["testbed_check"])
    # The paths are absolute, so that pytest looks for a conftest.py nowhere but in the battery.
    command = [str(BATTERY), "-c", str(BATTERY / "command.ini"), "--rootdir", str(BATTERY)]
    command += ["--confcutdir", str(BATTERY), "-p", PLUGIN, *parallel]
    # A plugin that is installed beside the app is for its own tests: it may need packages that are missing.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # They are for the project's own tests.
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    import pytest  # noqa: PLC0415 - not for other commands of flask

    given = words({name: values[option.key] for name, option in OPTIONS.items() if option.key in values})
    status = int(pytest.main([*command, *given, *ctx.meta[__name__]]))
    from flask_sqlalchemy_testbed.plugin.watchdog import end_without_threads  # noqa: PLC0415 - imports pytest

    end_without_threads(status)
    ctx.exit(status)


def _prepare_process() -> None:
    """Refuse a deleted folder, open the outputs that the caller has closed, and treat signals like Ctrl-C.

    pytest needs the folder and the outputs; a run that is told to end then shows its verdicts.
    """
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is signal.SIG_DFL:
            signal.signal(signal_number, signal.default_int_handler)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The operating system takes the lowest free number, which a database file must not get.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no name
            setattr(sys, name, os.fdopen(descriptor, "w" if number else "r", closefd=False))
    try:
        Path.cwd()
    except FileNotFoundError:
        message = "The current folder was deleted. Change to the folder of your app."
        raise click.UsageError(message) from None


def _parallel(of_pytest: Sequence[str], backends: Sequence[str], checks: Sequence[str]) -> list[str]:
    """Return the options for pytest-xdist: two processes for each backend with a server.

    Most of the time of a check on a server is waiting.

    Args:
        of_pytest: The user's options of pytest. `-n` wins, and those that need one process turn this off.
        backends: The backends of the run.
        checks: The checks that the user named: a few are faster in one process.
    """
    from flask_sqlalchemy_testbed.backends import BACKENDS  # noqa: PLC0415 - on use

    if any(re.match("-n|--numprocesses", word) for word in of_pytest):
        return ["-p", "xdist"]
    in_one_process = {"-s", "--capture=no", "--pdb", "--trace"} & {*of_pytest}
    processes = 2 * sum("embedded" not in BACKENDS[name].capabilities for name in backends)
    if not processes or checks or in_one_process:
        return []
    # Each check goes to the next free process: those of one backend take twice as long as those of another,
    # and a process that gets many at once may keep the longest ones for the end.
    return ["-p", "xdist", "-n", str(processes), "--dist", "load", "--maxschedchunk", "1"]


def _app_of_flask(ctx: click.Context) -> str | None:
    """Return the app that `flask --app` or FLASK_APP names, without importing it."""
    from flask.cli import ScriptInfo  # noqa: PLC0415

    info = ctx.find_object(ScriptInfo)
    return info.app_import_path if info is not None else None


def _available_backends() -> tuple[str, ...]:
    """Return the backends with a driver and a server, and print why the others are left out."""
    from flask_sqlalchemy_testbed.backends import BACKENDS  # noqa: PLC0415
    from flask_sqlalchemy_testbed.backends.drivers import MissingDriverError  # noqa: PLC0415
    from flask_sqlalchemy_testbed.servers.given import variable  # noqa: PLC0415

    available: list[str] = []
    of_engine: list[Backend] = []
    for backend in BACKENDS.values():
        if not (backend.by_default or os.environ.get(variable(backend))):
            continue
        try:
            if needs_engine(backend):
                of_engine.append(backend)
        except MissingDriverError as error:
            click.echo(f"The app is not tested on {backend.name}. {error}")
        else:
            available.append(backend.name)
    if of_engine and (problem := _engine_problem()):
        names = [backend.name for backend in of_engine]
        click.echo(
            f"The app is not tested on {' and '.join(names)}: {problem},"
            f" or name a server in {' or '.join(map(variable, of_engine))}."
        )
        available = [name for name in available if name not in names]
    return tuple(available)


def _engine_problem() -> str:
    """Return why no Docker engine can be used; an empty string if one can. This starts nothing."""
    from flask_sqlalchemy_testbed.servers.images import engine  # noqa: PLC0415 - it needs half a second
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415

    try:
        engine().close()
    except ServerError as error:
        return str(error)
    return ""


def needs_engine(backend: Backend) -> bool:
    """Return whether only a Docker engine can start its server: none is given.

    Raises:
        MissingDriverError: no server is given, and no driver is installed to connect to a new one.
    """
    from flask_sqlalchemy_testbed.servers.given import variable  # noqa: PLC0415

    return not os.environ.get(variable(backend)) and bool(backend.drivername and backend.recipe)


def _known_backends(_ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from flask_sqlalchemy_testbed.backends import BACKENDS, UnknownBackendError, choose  # noqa: PLC0415

    try:
        chosen = choose(part.strip() for name in value for part in name.split(",") if part.strip())
    except UnknownBackendError as error:
        raise click.UsageError(str(error)) from None
    if value and not chosen:
        message = f"--backend is empty. Choose from: {', '.join(BACKENDS)}."
        raise click.UsageError(message)
    return tuple(backend.name for backend in chosen)


def _known_checks(_ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if not any(value):  # An empty value has a message of its own.
        return value
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.plugin.selection import unknown_checks  # noqa: PLC0415 - on use

    if unknown := [name for name in value if name and name not in CHECKS]:
        raise click.UsageError(unknown_checks(unknown, list(CHECKS)))
    return value


def _print_version(ctx: click.Context, _option: click.Parameter, value: object) -> None:
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - on use

        click.echo(f"flask-sqlalchemy-testbed {version('flask-sqlalchemy-testbed')}")
        ctx.exit()


def _print_list(ctx: click.Context, _option: click.Parameter, value: object) -> None:
    if value:
        from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use

        width = max(map(len, CHECKS))
        for check in CHECKS.values():
            click.echo(f"{check.id.ljust(width)}  {(check.severity or '').ljust(12)}  {check.claim}")
        ctx.exit()


def _print_explanation(ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    if not value:
        message = "--explain is empty. Name a check: --list prints all."
        raise click.UsageError(message)
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.checks.explanation import explanation  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.checks.links import link, page_url  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.plugin.selection import unknown_checks  # noqa: PLC0415 - on use

    if value not in CHECKS:
        raise click.UsageError(unknown_checks([value], list(CHECKS)))
    click.echo(value)
    more = [("more", link(value))] if page_url() else []
    for label, text in [*explanation(CHECKS[value]), *more]:
        lines = textwrap.wrap(text, 86, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            click.echo(f"  {(f'{label}:' if number == 0 else '').ljust(12)}{line}")
    ctx.exit()


def _at_once(name: str, callback: Any, help_: str, metavar: str | None = None) -> click.Option:
    """Return an option that needs no app: it prints a text and ends the command."""
    return click.Option(
        [f"--{name}"],
        help=help_,
        is_flag=metavar is None,
        metavar=metavar,
        # As in `_option`: otherwise click 8.3 takes the option without its value for no option.
        default=None,
        is_eager=True,
        expose_value=False,
        callback=callback,
    )


KNOWN_VALUES = {"backend": _known_backends, "check": _known_checks, "exclude": _known_checks}


def _option(option: Option) -> click.Option:
    text = DEFAULTS.get(option.name)
    return click.Option(
        [f"--{option.name}", option.key],
        help=f"{option.help} (default: {text})" if text else option.help,
        is_flag=not option.metavar,
        metavar=option.metavar or None,
        multiple=option.repeatable,
        type=float if option.metavar == "SECONDS" else None,
        # Said, because click 8.3 otherwise takes a value such as -1 for an option.
        default=None,
        callback=KNOWN_VALUES.get(option.name),
    )


command = _Command(
    "testbed",
    callback=_run,
    params=[
        click.Argument(["app"], required=False),
        *(_option(option) for option in OPTIONS.values() if not option.own_tests),
        _at_once("list", _print_list, "list all checks with their severity and claim, and exit"),
        _at_once("explain", _print_explanation, "explain a check: its claim, reports and remedy", "ID"),
        _at_once("version", _print_version, "print the version, and exit"),
    ],
    help=HELP,
    epilog=EPILOG,
    short_help="Test how the app uses SQLAlchemy.",
)

"""Run each check in a process of its own, if a process can make one app only.

The processes borrow the servers of this run, as workers of pytest-xdist do, and `single_check` runs in them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.options import in_command
from flask_sqlalchemy_testbed.plugin import failures, single_check, state
from flask_sqlalchemy_testbed.plugin.app_option import APP_MAKER, WORKERINPUT
from flask_sqlalchemy_testbed.plugin.channel import description
from flask_sqlalchemy_testbed.plugin.outage import outages
from flask_sqlalchemy_testbed.plugin.reporting import FINDINGS
from flask_sqlalchemy_testbed.plugin.selection import backend_of
from flask_sqlalchemy_testbed.plugin.watchdog import seconds_of
from flask_sqlalchemy_testbed.plugin.xdist import KEY

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.checks.definition import Check
    from flask_sqlalchemy_testbed.run import Run

# Seconds beyond the limits of a check: for the start of pytest, and for a server that is restarted.
START_SECONDS = 120.0
MOST_LINES = 30
_NUMBER: pytest.StashKey[int] = pytest.StashKey()
"""How many processes this one has started."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Run the check in another process, and report what that process reports."""
    check = check_of(item)
    if check is None or not _runs_alone(item.config):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports, stop = _run(item, check)
    for report in reports:
        if kept := vars(report).get(failures.KEEP_MARK):
            failures.keep(item, *kept)
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    if stop:
        if state.WORKER in item.config.stash:  # pytest-xdist passes this on to the controller.
            item.session.shouldstop = stop
        pytest.exit(stop, returncode=int(pytest.ExitCode.USAGE_ERROR))
    return True


def _runs_alone(config: pytest.Config) -> bool:
    if APP_MAKER not in config.stash or state.IS_ALONE in config.stash:
        return False
    from flask_sqlalchemy_testbed.subject.subject import Apps  # noqa: PLC0415 - slow to import

    return config.stash[APP_MAKER].subject.apps is Apps.ONE_PER_PROCESS


def _run(item: pytest.Item, check: Check) -> tuple[list[pytest.TestReport], str]:
    """Run a check; return its reports, and why the run ends with it, if it does."""
    config = item.config
    run = state.run_of(config)
    config.stash[_NUMBER] = number = config.stash.get(_NUMBER, 0) + 1
    with tempfile.TemporaryDirectory(prefix="testbed-") as directory:
        results = Path(directory, "results")
        job = {
            "test": item.nodeid,
            "check": check.id,
            "results": str(results),
            "outages": outages(config),
            "short": in_command(),
            "workerinput": {
                "workerid": f"alone{number}",
                WORKERINPUT: config.stash[APP_MAKER].subject.as_dict(),
                KEY: {"run": f"{run.name}_{number}", "directory": directory, "servers": _servers(item, run)},
            },
        }
        seconds = seconds_of(item)
        file = Path(directory, "job")
        file.touch(mode=0o600)  # It may hold the password of a throwaway server.
        file.write_text(json.dumps(job), encoding="utf-8")
        status, output = _wait(config, file, START_SECONDS + 3 * seconds if seconds else None)
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    *found, end = [json.loads(line) for line in lines] or [{}]
    for data in found:
        if "warning" in data:
            _repeat_warning(config, data["warning"], data["about"])
    reports = [data["report"] for data in found if "report" in data]
    if reports and "stop" in end:
        return _reports(config, reports, end), str(end["stop"])
    crash = f"The process of this check ended with the status {status}.\n{output}"
    return [pytest.TestReport(item.nodeid, item.location, {}, "failed", crash, "???")], ""  # type: ignore[arg-type] # as pytest-xdist reports a crash


def _arguments(config: pytest.Config) -> list[str]:
    """Return the words of the command line, which the other process reads too."""
    words = list(map(str, config.invocation_params.args))
    for plugin, more in (("xdist", ["-n", "0"]), ("_cov", ["--no-cov"])):
        if config.pluginmanager.hasplugin(plugin):
            words += more
    return words


def _servers(item: pytest.Item, run: Run) -> dict[str, dict[str, Any]]:
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - on use

    backend = backend_of(item)
    try:
        run.start([backend] if backend else [])
    except ServerError as error:
        return {backend.name: {"error": str(error)}} if backend else {}
    state.describe_new_servers(item.config)
    return {name: description(server) for name, server in run.servers.items()}


def _wait(config: pytest.Config, job: Path, seconds: float | None) -> tuple[int | str, str]:
    """Run pytest; return its status and the end of its output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", single_check.__name__, *_arguments(config)],
        cwd=config.invocation_params.dir,
        env={**os.environ, single_check.VARIABLE: str(job)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        status: int | str
        try:
            output, _ = process.communicate(timeout=seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            status = f"of a process that was killed after {seconds:g} s"
        except BaseException:
            process.kill()
            raise
    return status, "\n".join(output.splitlines()[-MOST_LINES:])


def _reports(
    config: pytest.Config, found: list[dict[str, Any]], end: dict[str, Any]
) -> list[pytest.TestReport]:
    reports = [config.hook.pytest_report_from_serializable(config=config, data=data) for data in found]
    if late := end["output"].get(FINDINGS):
        # Logs that were complete only after the last report.
        earlier = vars(reports[-1]).get(FINDINGS, "[]")
        vars(reports[-1])[FINDINGS] = json.dumps(json.loads(earlier) + json.loads(late))
    return reports


def _repeat_warning(config: pytest.Config, values: dict[str, Any], about: dict[str, Any]) -> None:
    module, name = values.pop("category")
    category = getattr(sys.modules.get(module), name, UserWarning)
    message = warnings.WarningMessage(category=category, **values)
    config.hook.pytest_warning_recorded.call_historic(kwargs={"warning_message": message, **about})

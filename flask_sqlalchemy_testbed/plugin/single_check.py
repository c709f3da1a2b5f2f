"""Run one check of another pytest process on its servers: a plugin that `own_process` loads in a new one.

It makes the process a worker, as pytest-xdist would, and writes the reports to a file. The job is a file too,
which an environment variable names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.options import OPTIONS, use_short_flags
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.outage import know_outages

if TYPE_CHECKING:
    import warnings

VARIABLE = "TESTBED_JOB"
_JOB: pytest.StashKey[dict[str, Any]] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Read the job before any other plugin looks at the configuration."""
    from flask_sqlalchemy_testbed.servers.processes import end_with  # noqa: PLC0415 - not for every pytest run

    end_with(os.getppid())
    job = json.loads(Path(os.environ.pop(VARIABLE)).read_text(encoding="utf-8"))
    config.stash[state.IS_ALONE] = True
    config.stash[_JOB] = job
    setattr(config.option, OPTIONS["check"].key, [job["check"]])
    vars(config).update(workerinput=job["workerinput"], workeroutput={})
    if job["short"]:
        use_short_flags()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the part that needs the configuration, and learn which backends cannot be used."""
    know_outages(config, config.stash[_JOB]["outages"])
    config.pluginmanager.register(_Reports(config), "flask-sqlalchemy-testbed-single-check")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run this check alone.

    All of the command line is collected: the ids of tests depend on the paths that it names.
    """
    items[:] = [item for item in items if item.nodeid == config.stash[_JOB]["test"]]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the findings that came after the last report."""
    output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined] # set above
    _write(session.config, stop=session.shouldstop or "", output=output)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Drop the databases: those of all checks would fill the memory of the servers."""
    if state.RUN in config.stash and not config.stash[state.WORKER].kept.exists():
        config.stash[state.RUN].drop_databases()


class _Reports:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a report."""
        config = self._config
        _write(config, report=config.hook.pytest_report_to_serializable(config=config, report=report))

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        """Write a warning."""
        category = warning_message.category
        _write(
            self._config,
            warning={
                "category": [category.__module__, category.__name__],
                "message": str(warning_message.message),
                "filename": warning_message.filename,
                "lineno": warning_message.lineno,
            },
            about={"when": when, "nodeid": nodeid, "location": location},
        )


def _write(config: pytest.Config, **values: Any) -> None:
    with Path(config.stash[_JOB]["results"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")

"""Run one check of another pytest process, on its servers: `own_process` describes the job.

Usage: python -m flask_sqlalchemy_testbed.plugin.single_check < job.json
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.options import OPTIONS, use_short_flags
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.outage import know_outages
from flask_sqlalchemy_testbed.servers.processes import end_with

if TYPE_CHECKING:
    from collections.abc import Mapping


class SingleCheck:
    """A plugin that makes this process a worker, as pytest-xdist would, and writes its reports to a file."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        """Collect the check alone, whatever the command line names."""
        config.args = [self._job["test"]]
        setattr(config.option, OPTIONS["check"].key, [self._job["check"]])
        config.stash[state.IS_ALONE] = True
        vars(config).update(workerinput=self._job["workerinput"], workeroutput={})

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take over the reasons why backends cannot be used."""
        know_outages(config, self._job["outages"])

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a report."""
        config = self._config
        self._write(report=config.hook.pytest_report_to_serializable(config=config, report=report))

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember the configuration, which the hook of reports is not given."""
        self._config = session.config

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the findings that came after the last report."""
        output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined] # set above
        self._write(stop=session.shouldstop or "", output=output)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Drop the databases: those of all checks would fill the memory of the servers."""
        if state.RUN in config.stash and not config.stash[state.WORKER].kept.exists():
            config.stash[state.RUN].drop_databases()

    def _write(self, **values: Any) -> None:
        with Path(self._job["results"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def main() -> int:
    """Run the check, and return the exit status of pytest."""
    end_with(os.getppid())
    job = json.load(sys.stdin)
    if job["short"]:
        use_short_flags()
    return int(pytest.main(job["arguments"], plugins=[SingleCheck(job)]))


if __name__ == "__main__":
    sys.exit(main())

"""Make the app once in a process of its own, for an app whose modules or factory work once per process.

Usage: python -m flask_sqlalchemy_testbed.subject.other_process RESULT < job.json
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.options import in_command, use_short_flags
from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.subject import errors, guard
from flask_sqlalchemy_testbed.subject.attempt import Attempt
from flask_sqlalchemy_testbed.subject.discovery import Place
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.importing import import_app
from flask_sqlalchemy_testbed.subject.process_state import ProjectModules
from flask_sqlalchemy_testbed.subject.subject import Apps, Subject

MOST_LINES = 20


def make_in_another_process(subject: Subject, uri: str) -> Subject:
    """Make an app in a process that has imported nothing of it, and return the subject as found there.

    Args:
        subject: The subject. Without a factory call each call that reads the environment is tried until one
            works.
        uri: An empty database of the run.

    Raises:
        SubjectError: The app cannot be made there either.
    """
    with tempfile.TemporaryDirectory() as directory:
        result, refusals = Path(directory, "result"), Path(directory, "refusals")
        ran = subprocess.run(
            [sys.executable, "-m", __name__, str(result)],
            input=json.dumps({"subject": subject.as_dict(), "uri": uri, "short": in_command()}),
            env={**os.environ, **guard.environment(refusals)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if not result.exists():
            output = "\n".join(f"  {line}" for line in ran.stdout.splitlines()[-MOST_LINES:])
            message = f"{subject} ended its process with the status {ran.returncode}. It wrote:\n{output}"
            raise SubjectError(message)
        found = json.loads(result.read_text(encoding="utf-8"))
    if "error" in found:
        kind: type[SubjectError] = getattr(errors, found["kind"])
        raise kind(found["error"])
    return Subject.from_dict(found["subject"])


def main() -> None:
    """Make the app, and write the subject or the error to the file that the arguments name."""
    end_with(os.getppid())
    guard.inherit()
    guard.start()
    job = json.load(sys.stdin)
    if job["short"]:
        use_short_flags()
    found: dict[str, Any]
    try:
        found = {"subject": _made(Subject.from_dict(job["subject"]), job["uri"]).as_dict()}
    except SubjectError as error:
        found = {"error": str(error), "kind": type(error).__name__}
    Path(sys.argv[-1]).write_text(json.dumps(found), encoding="utf-8")


def _made(subject: Subject, uri: str) -> Subject:
    if subject.folder:
        sys.path.insert(0, subject.folder)
    place = Place.parse(subject.app_path, "")
    modules = ProjectModules([place.module, subject.session_path.partition(":")[0]])
    wanted = subject.factory_call
    once = replace(subject, apps=Apps.ONE_PER_PROCESS, binds={}, binds_key="")
    imported, calls = import_app(once, place, modules, uri)
    for call in calls:
        if call.name == wanted or (not wanted and call.by_environment):
            with contextlib.closing(Attempt(imported, call, modules)) as attempt:
                return replace(attempt.run(uri), why_not_several=subject.why_not_several)
    message = f"{subject} cannot be called in this way any more."
    raise SubjectError(message)


if __name__ == "__main__":
    main()

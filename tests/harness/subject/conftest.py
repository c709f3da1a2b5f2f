"""Projects that are imported into this process, and removed from it again."""

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest

from flask_sqlalchemy_testbed.subject import other_process
from flask_sqlalchemy_testbed.subject.guard import allow_file
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES
from tests import prepared
from tests.harness.subject.resolving import Write


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the process that makes an app once from the prepared one, which has imported no app either."""

    def run(words: list[str], *, input: str, env: dict[str, str], **_: object) -> CompletedProcess[str]:  # noqa: A002 - as there
        return prepared.run(words[2:], cwd=Path.cwd(), env=env, timeout=60, merged=True, given=input)

    monkeypatch.setattr(other_process, "subprocess", SimpleNamespace(**{**vars(subprocess), "run": run}))


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return _database(tmp_path / "testbed_0123456789ab.db")


@pytest.fixture
def other_uri(tmp_path: Path) -> str:
    return _database(tmp_path / "testbed_0123456789ac.db")


def _database(path: Path) -> str:
    """Return the URI of a database that the guard takes for one of this run."""
    allow_file(path)
    return f"sqlite:///{path}"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module of a project, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("FLASK_APP", *URI_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)

    def write(*parts: str, name: str = "shop.py") -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(textwrap.dedent(part) for part in parts))
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]

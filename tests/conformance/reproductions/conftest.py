"""Run each reproduction on an empty database and in a process of its own.

No reproduction affects the next one.

`DATABASE_URI` names a database whose user may create others; the module `peer` is found by `PYTHONPATH`:

    DATABASE_URI=sqlite:////tmp/some.db PYTHONPATH=tests/conformance/peers/flask_sqlalchemy_lite \
        python -m pytest -p no:flask_sqlalchemy_testbed tests/conformance/reproductions
"""

import inspect
import itertools
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url

import plain

SECONDS = 25.0
NUMBERS = itertools.count(1)


@pytest.fixture
def empty(tmp_path: Path) -> Callable[[], str]:
    """Return a function that creates a database without tables and returns its URI."""
    url = make_url(os.environ["DATABASE_URI"])

    def make() -> str:
        number = next(NUMBERS)
        if url.get_backend_name() == "sqlite":
            uri = f"sqlite:///{tmp_path}/{number}.db"
        else:
            name = f"{url.database}_{os.getpid()}_{number}"
            plain.outside(os.environ["DATABASE_URI"], f"CREATE DATABASE {name}")
            uri = url.set(database=name).render_as_string(hide_password=False)
        return uri

    return make


@pytest.fixture
def empty_uri(empty: Callable[[], str]) -> str:
    return empty()


@pytest.fixture
def fresh(empty: Callable[[], str]) -> Callable[[], str]:
    """Return a function that creates a database with empty tables and returns its URI."""

    def make() -> str:
        uri = empty()
        engine = create_engine(uri, poolclass=NullPool)
        plain.Base.metadata.create_all(engine)
        return uri

    return make


@pytest.fixture
def uri(fresh: Callable[[], str]) -> str:
    return fresh()


@pytest.fixture
def other_uri(fresh: Callable[[], str]) -> str:
    return fresh()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run the test in a forked process, and fail with the message of its failure."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        message = ""
        try:
            names = inspect.signature(pyfuncitem.obj).parameters
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        except AssertionError as error:
            message = str(error)
        except BaseException as error:  # noqa: BLE001 - the parent reports it
            message = f"raised {type(error).__name__}: {error}"
        os.write(writing, message.encode())
        os._exit(0)
    os.close(writing)
    answered, _, _ = select.select([reading], [], [], SECONDS)
    message = (
        os.read(reading, 65536).decode()
        if answered
        else f"raised nothing, and did not end within {SECONDS:g} s"
    )
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    if message:
        pytest.fail(message, pytrace=False)
    return True

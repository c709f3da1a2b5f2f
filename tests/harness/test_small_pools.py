"""Apps whose pool gives one or two connections: no check waits for one that the pool cannot give."""

import time

import pytest

from tests.harness.projects import Project
from tests.harness.shops import BINDING, WITHOUT_REMOVE
from tests.harness.verdicts import verdicts

Verdicts = dict[str, dict[str, tuple[str, str]]]
# Each needs several connections, if the pool gives so many; `make power` tries the others.
OF_SEVERAL = (
    *("binding.first-use", "isolation.worker-holds-on", "portability.foreign-keys"),
    *("portability.same-settings", "lifecycle.own-session", "faults.pool-exhausted"),
    *("faults.lost-between-requests", "transactions.deadlock", "transactions.no-dirty-reads"),
)
LEFT_OPEN = (
    *("lifecycle.request-ends", "lifecycle.context-ends", "lifecycle.with-client", "faults.pool-exhausted"),
)
# Beside the removal of the session: after an error, a connection is left open.
KEEPS_ONE = "(db_session.remove(), _ and kept.append(app.extensions['engine'].connect()))"
POOLS = {
    "a pool of one": "pool_size=1, max_overflow=0",
    "a pool of two": "pool_size=2, max_overflow=0",
    "a pool of three": "pool_size=3, max_overflow=0",
    "one connection and two more": "pool_size=1, max_overflow=2",
    "no pool": "poolclass=NullPool",
    "an assertion": "poolclass=AssertionPool",
}


def shop(project: Project, options: str, source: str = BINDING) -> None:
    imports = "from sqlalchemy.pool import AssertionPool, NullPool\nkept = []\n"
    factory = f"def create_app(config=None):\n    return made(config['DATABASE_URI'], {options})\n"
    project.write(f"{imports}{source}\n\n{factory}", "shop.py")


def failed(found: Verdicts) -> set[tuple[str, str]]:
    """Return the checks that failed, each with its backend."""
    return {
        (check, backend)
        for check, outcomes in found.items()
        for backend, (outcome, _) in outcomes.items()
        if outcome == "failed"
    }


@pytest.mark.parametrize("size", [1, 2])
def test_a_check_that_needs_more_connections_is_not_applicable(project_here: Project, size: int) -> None:
    shop(project_here, f"pool_size={size}, max_overflow=0")

    found = verdicts(project_here, checks=("portability.writer-waits", "lifecycle.gevent"))

    gives = f"the pool gives at most {size} connection{'s' * (size > 1)}, and this check needs"
    assert [reason for _, reason in found["lifecycle.gevent"].values()] == [f"{gives} 3"] * len(
        project_here.backends
    )
    reasons = [reason for _, reason in found["portability.writer-waits"].values()]
    assert reasons == ([f"{gives} 2"] if size == 1 else [""]) * len(project_here.backends)


def test_a_pool_of_another_kind_adds_no_failure(project_here: Project) -> None:
    shop(project_here, "")
    usual = failed(verdicts(project_here, checks=OF_SEVERAL))
    added = {}
    for name, options in POOLS.items():
        shop(project_here, options)
        added[name] = failed(verdicts(project_here, checks=OF_SEVERAL)) - usual

    assert [name for name, checks in added.items() if checks] == [], added


def test_a_session_that_stays_open_is_found_soon_with_one_connection_too(project_here: Project) -> None:
    shop(project_here, "pool_size=1, max_overflow=0", WITHOUT_REMOVE)
    began = time.monotonic()

    found = verdicts(project_here, checks=LEFT_OPEN)

    assert {check for check, _ in failed(found)} == set(LEFT_OPEN)
    assert "left open: 1 connection, 1 session, 1 transaction" in str(found["lifecycle.request-ends"])
    # The pool itself waits for 30 s.
    assert time.monotonic() - began < 25 * len(project_here.backends)


def test_a_connection_that_stays_open_is_found_with_two_connections_too(project_here: Project) -> None:
    shop(project_here, "pool_size=2, max_overflow=0", BINDING.replace("db_session.remove()", KEEPS_ONE))

    found = verdicts(project_here, checks=("lifecycle.failed-request-ends", "lifecycle.context-ends"))

    assert {check for check, _ in failed(found)} == {"lifecycle.failed-request-ends"}
    assert "left open: 1 connection" in str(found)

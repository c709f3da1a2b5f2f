"""A request that a busy machine holds up for a moment fails no check of a right binding."""

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from tests.harness.projects import Project
from tests.harness.shops import FACTORY
from tests.harness.verdicts import verdicts

CHECKS = ("faults.idle-timeout", "faults.half-open", "faults.paused")
LIMITS = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
OPTIONS = {
    "postgresql": {"connect_timeout": 5, "tcp_user_timeout": 5000},
    "mysql": LIMITS,
    "mariadb": LIMITS,
}
# A request pauses between the pool's ping and its first statement, and its first connection is slow.
HELD_UP = """
import time
from sqlalchemy import event

made_at_once = made


def made(uri, **options):
    app = made_at_once(uri, pool_pre_ping=True, connect_args={limits}, **options)
    engine, slow = app.extensions["engine"], ["SELECT SLEEP(0.7)"] * (not uri.startswith("postgresql"))
    event.listen(engine, "checkout", lambda *_: time.sleep(0.3))

    @event.listens_for(engine, "connect")
    def connected(connection, _):
        while slow:
            connection.cursor().execute(slow.pop())

    return app
"""


@pytest.mark.testbed_needs("container")
def test_a_request_that_is_held_up_fails_no_check_with_time_limits(
    project: Project, testbed_backend: Backend
) -> None:
    project.backends = [testbed_backend.name]
    project.write(FACTORY + HELD_UP.replace("{limits}", str(OPTIONS[testbed_backend.name])), "shop.py")
    chosen = [word for check in CHECKS for word in ("--testbed-check", check)]

    outcome = project.run(
        "--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app", *chosen
    )

    assert outcome.code == 0, outcome.text


SLOW_CLEANING = """
import time


def pytest_collection_finish(session):
    (module,) = {item.module for item in session.items}
    module.WITHIN = WITHIN_SECONDS
    at_once = module.Trial.next_test

    def next_test(self):
        time.sleep(SECONDS)
        at_once(self)

    module.Trial.next_test = next_test
"""


@pytest.mark.testbed_needs("embedded")
@pytest.mark.parametrize(("within", "takes", "outcome"), [(3, 3.1, "passed"), (2, 4.2, "failed")])
def test_the_next_test_may_begin_late_if_it_does_not_wait_for_the_thread(
    project_here: Project, testbed_backend: Backend, within: int, takes: float, outcome: str
) -> None:
    project_here.backends = [testbed_backend.name]
    project_here.write(FACTORY, "shop.py")
    slow = SLOW_CLEANING.replace("WITHIN_SECONDS", str(within)).replace("SECONDS", str(takes))
    project_here.write(slow, "slow_cleaning.py")
    late = "isolation.worker-holds-on"

    found = verdicts(project_here, "-p", "slow_cleaning", checks=(late,))

    ((verdict, reason),) = found[late].values()
    assert verdict == outcome, reason
    assert ("or the machine was busy" in reason) == (outcome == "failed")


@pytest.mark.testbed_needs("container")
def test_a_server_that_is_killed_because_it_stops_too_slowly_fails_no_check(
    project: Project, testbed_backend: Backend
) -> None:
    name, stopped = testbed_backend.name, "faults.stopped-mid-query"
    project.backends = [name]
    project.write(FACTORY, "shop.py")
    project.write(
        """
        from flask_sqlalchemy_testbed.battery.own_server import OwnServer

        OwnServer.stop = OwnServer.kill
        """,
        "slow_stop.py",
    )

    assert verdicts(project, "-p", "slow_stop", checks=(stopped,)) == {stopped: {name: ("passed", "")}}

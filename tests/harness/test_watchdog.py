"""A test that hangs fails in time, and the run goes on.

The report shows which thread and which session wait.
"""

import re

import pytest

from flask_sqlalchemy_testbed.plugin import state
from tests.harness.projects import Project

WAITS_FOR_A_LOCK = """
    import pytest
    from sqlalchemy import create_engine, text

    @pytest.mark.testbed_within(1)
    @pytest.mark.testbed_needs("server")
    def test_waits(database_uri):
        engine = create_engine(database_uri)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
            connection.execute(text("INSERT INTO things VALUES (1)"))
        with engine.connect() as holder, engine.connect() as waiter:
            holder.execute(text("UPDATE things SET id = 2"))
            waiter.execute(text("UPDATE things SET id = 3"))

    @pytest.mark.testbed_needs("server")
    def test_next(database_uri):
        engine = create_engine(database_uri)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE things (id INTEGER)"))
        engine.dispose()
"""


def test_a_session_that_waits_for_a_lock_is_reported_and_ended(
    project_here: Project, pytestconfig: pytest.Config
) -> None:
    project_here.write(WAITS_FOR_A_LOCK)
    outcome = project_here.run()

    servers = [known.name for known in pytestconfig.stash[state.BACKENDS] if "server" in known.capabilities]
    assert [line.split()[1] for line in outcome.lines("FAILED")] == [
        f"test_inner.py::test_waits[{name}]" for name in servers
    ]
    assert len(re.findall("sessions and locks on", outcome.text)) == len(servers)
    assert len(re.findall(r"WANTS .*UPDATE things SET id = 3", outcome.text)) == len(servers)


@pytest.mark.parametrize(
    "waiting",
    [
        "threading.Event().wait()",
        "lock.acquire()",
        "ThreadPoolExecutor().submit(threading.Event().wait).result()",
        "[None for _ in iter(int, 1)]",
    ],
)
def test_a_hung_test_fails_with_its_stack_and_the_next_test_runs(project: Project, waiting: str) -> None:
    project.write(
        f"""
        import pytest, threading
        from concurrent.futures import ThreadPoolExecutor

        lock = threading.Lock()
        lock.acquire()

        def here():
            {waiting}

        @pytest.mark.testbed_within(0.3)
        def test_hangs():
            here()

        def test_next():
            pass
        """
    )
    outcome = project.run()

    assert "It hung: its call did not end within 0.3 s." in outcome.text
    assert "stacks of all threads" in outcome.text
    assert re.search(r"MainThread:(.|\n)*in here\n", outcome.text)
    assert "1 failed, 1 passed" in outcome.text


def test_a_hung_test_that_swallows_the_interruption_fails(project: Project) -> None:
    project.write(
        """
        import pytest, threading

        @pytest.mark.testbed_within(0.3)
        def test_hangs():
            try:
                threading.Event().wait()
            except Exception:
                pass
        """
    )

    assert "1 failed" in project.run().text


def test_a_rescue_of_a_fixture_ends_a_wait_that_no_signal_ends(project: Project) -> None:
    project.write(
        """
        import psycopg2, pytest, socket
        from flask_sqlalchemy_testbed.plugin.watchdog import RESCUES

        @pytest.fixture
        def silent(request):
            listener = socket.create_server(("127.0.0.1", 0))
            request.node.stash.setdefault(RESCUES, []).append(lambda: listener.shutdown(socket.SHUT_RDWR))
            yield listener.getsockname()[1]
            listener.close()

        @pytest.mark.testbed_within(0.3)
        def test_hangs(silent):
            psycopg2.connect(host="127.0.0.1", port=silent)
        """
    )

    assert "1 failed" in project.run().text


def test_fixtures_that_hang_fail(project: Project) -> None:
    project.write(
        """
        import pytest, threading

        @pytest.fixture
        def slow_to_begin():
            threading.Event().wait()

        @pytest.fixture
        def slow_to_end():
            yield
            threading.Event().wait()

        @pytest.mark.testbed_within(0.3)
        def test_first(slow_to_begin):
            pass

        @pytest.mark.testbed_within(0.3)
        def test_second(slow_to_end):
            pass
        """
    )
    outcome = project.run()

    assert "It hung: its setup did not end" in outcome.text
    assert "It hung: its teardown did not end" in outcome.text
    assert "1 passed, 2 errors" in outcome.text


def test_a_failed_test_that_hangs_in_its_teardown_is_counted_once(project: Project) -> None:
    project.write(
        """
        import pytest, threading

        @pytest.fixture
        def slow_to_end(database_uri):
            yield
            threading.Event().wait()

        @pytest.mark.testbed_within(3)
        def test_hangs(slow_to_end):
            threading.Event().wait()
        """
    )
    outcome = project.run()

    assert "It hung: its call did not end" in outcome.text
    assert "It hung: its teardown did not end" in outcome.text
    assert "1 failed in" in outcome.lines("=")[-1]


def test_an_option_limits_checks_but_not_other_tests(project: Project) -> None:
    project.write(
        """
        import time
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        @check(Check("faults.slow", "It ends."))
        def test_check():
            time.sleep(0.6)

        def test_ordinary():
            time.sleep(0.6)
        """
    )

    assert "2 passed" in project.run().text
    assert "1 failed, 1 passed" in project.run("--testbed-check-timeout", "0.3").text
    assert "1 failed, 1 passed" in project.run("-o", "testbed_check_timeout=0.3").text


def test_a_wait_for_a_server_does_not_count(project: Project) -> None:
    project.write(
        """
        import pytest, threading, time
        from flask_sqlalchemy_testbed.plugin.watchdog import untimed

        @pytest.mark.testbed_within(0.3)
        def test_waits(request):
            with untimed(request.config):
                time.sleep(0.6)

        @pytest.mark.testbed_within(0.3)
        def test_hangs_later(request):
            with untimed(request.config):
                time.sleep(0.6)
            threading.Event().wait()
        """
    )
    outcome = project.run()

    assert [line.split()[1] for line in outcome.lines("FAILED")] == ["test_inner.py::test_hangs_later"]
    assert "1 failed, 1 passed" in outcome.text


def test_the_handler_of_the_signal_is_restored(project: Project) -> None:
    project.write(
        """
        import pytest, signal

        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

        @pytest.mark.testbed_within(5)
        def test_first():
            assert callable(signal.getsignal(signal.SIGUSR1))

        def test_second():
            assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        """
    )

    assert "2 passed" in project.run().text


def test_a_hung_test_fails_late_on_systems_without_the_signal(project: Project) -> None:
    project.write("import signal\n\ndel signal.SIGUSR1\n", "sitecustomize.py")
    project.write(
        """
        import pytest, time

        @pytest.mark.testbed_within(0.3)
        def test_slow():
            time.sleep(0.6)

        def test_next():
            pass
        """
    )
    outcome = project.run(PYTHONPATH=str(project.path))

    assert "It hung: its call did not end within 0.3 s." in outcome.text
    assert "stacks of all threads" in outcome.text
    assert "1 failed, 1 passed" in outcome.text

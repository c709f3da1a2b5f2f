"""`docker compose run --rm tests`, for users who have Docker but no Python."""

from subprocess import CompletedProcess

import pytest

from tests.stack.stack import BUILD_SECONDS, Stack


@pytest.fixture(scope="module", autouse=True)
def image(stack: Stack) -> None:
    stack.compose("--profile", "tests", "build", "tests", seconds=BUILD_SECONDS)


def test_the_tests_run_on_the_stacks_own_servers(stack: Stack) -> None:
    done = run_tests(stack, "postgresql", "mysql", "-k", "test_transfers")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "postgresql: " in done.stdout
    assert done.stdout.count("(TESTBED_POSTGRESQL_URI)") == done.stdout.count("(TESTBED_MYSQL_URI)") == 1


def test_the_exit_code_is_that_of_the_tests(stack: Stack) -> None:
    done = run_tests(stack, "mysq")

    assert done.returncode == 4
    assert "Unknown backend 'mysq'" in done.stdout + done.stderr


def test_the_tests_leave_no_database_behind(stack: Stack) -> None:
    assert "tests" not in stack.containers()


def run_tests(stack: Stack, *args: str) -> CompletedProcess[str]:
    compose = ["compose", "--project-name", stack.project]
    return stack.run(*compose, "run", "--rm", "--no-TTY", "tests", *args, seconds=BUILD_SECONDS)

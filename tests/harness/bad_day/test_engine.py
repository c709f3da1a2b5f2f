"""A Docker engine that is absent, slow, or that refuses the user."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers import containers, images, recipes
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from tests import prepared
from tests.harness.bad_day.engines import engine
from tests.harness.projects import Project
from tests.harness.shops import FACTORY, WITHOUT_REMOVE

pytestmark = pytest.mark.bad_day

KIND = next(backend for backend in BACKENDS.values() if backend.recipe)
NOBODY = 65534


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Find the sockets here that a client left open."""
    yield
    gc.collect()


def test_a_user_who_may_not_use_the_engine_reads_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine() as one:
        one.path.chmod(0)
        monkeypatch.setenv("DOCKER_HOST", one.host)
        user = os.geteuid()
        # Root may use any socket.
        os.seteuid(user or NOBODY)
        try:
            with pytest.raises(ServerError) as error:
                images.connect(KIND)
        finally:
            os.seteuid(user)

    assert str(error.value) == (
        f"No server for {KIND.name}: permission denied for the Docker engine at {one.host}."
        " Add your user to the group docker (`sudo usermod -aG docker $USER`) and log in again,"
        f" or give a server in {variable(KIND)}."
    )


@pytest.mark.parametrize("missing", [404, 500])  # Podman 4.3 answers 500 while it removes a container.
def test_a_server_whose_container_is_missing_has_ended(monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    with engine() as one:
        one.missing = missing
        monkeypatch.setenv("DOCKER_HOST", one.host)

        assert containers.has_ended(KIND, "gone")


def test_an_engine_that_takes_three_seconds_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine(delay=3) as one:
        monkeypatch.setenv("DOCKER_HOST", one.host)

        images.connect(KIND).close()


def test_the_message_for_an_engine_that_does_not_answer_names_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "ANSWER_WITHIN", 0.5)
    with engine(delay=5) as one:
        monkeypatch.setenv("DOCKER_HOST", one.host)
        with pytest.raises(ServerError, match=rf"{one.host} did not answer within 0\.5 s\. .*_URI\.$"):
            images.connect(KIND)


@pytest.mark.parametrize(
    "host", ["tcp://host:99999", "tcp://host:x", "nonsense", "ssh://host", "npipe:////x"]
)
def test_an_impossible_address_of_the_engine_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ServerError, match=rf"no Docker engine answers at {host} \(.*\)\. Start Docker"):
        images.connect(KIND)


@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
def test_make_engine_is_mentioned_in_this_repository_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, here: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.chdir(Path(__file__).parent if here else tmp_path)
    with pytest.raises(ServerError, match=r"no Docker engine answers at unix:///nowhere\.sock\. St") as error:
        images.connect(KIND)

    assert ("make engine" in str(error.value)) == here


def test_make_engine_is_not_mentioned_to_a_user_who_cannot_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(ServerError, match="no Docker engine answers") as error:
        images.connect(KIND)

    assert "make engine" not in str(error.value)


def test_a_backend_that_was_asked_for_is_never_dropped(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    words = ["flask_sqlalchemy_testbed", "shop", "--backend", f"sqlite,{KIND.name}"]
    ran = prepared.run(
        [*words, "--check", "lifecycle.request-ends"],
        cwd=project.path,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere.sock"},
        timeout=60,
    )

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED  # of the check on SQLite
    assert f"\nNo server for {KIND.name}: no Docker engine answers" in ran.stdout


def test_a_slow_engine_is_waited_for_by_the_command_too(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    words = [sys.executable, "-m", "flask_sqlalchemy_testbed", "shop", "--check", "lifecycle.request-ends"]
    given = {"TESTBED_POSTGRESQL_URI": "", "TESTBED_MYSQL_URI": ""}
    with engine(delay=3) as one:
        process = subprocess.Popen(
            words,
            cwd=project.path,
            env={**os.environ, **given, "DOCKER_HOST": one.host},
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert one.asked.wait(60)  # It pulls the image of a backend.
            process.kill()
            output, _ = process.communicate()

    assert "not tested on" not in output


def test_ctrl_c_during_a_pull_ends_the_run_at_once(project: Project) -> None:
    assert KIND.recipe is not None
    project.backends = [KIND.name]
    with engine() as one:
        # Python leaves the file of a module open if the signal interrupts the import of the module.
        with project.start("-W", "ignore::ResourceWarning", DOCKER_HOST=one.host) as process:
            assert one.asked.wait(30)
            pressed = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=30)
            finally:
                process.kill()
        took = time.monotonic() - pressed

    # Python ends by the signal if it came while exec() ran a string, as dataclasses do on import.
    assert process.returncode in {pytest.ExitCode.INTERRUPTED, -signal.SIGINT}, output
    assert f"testbed: pulling {recipes.default_base_image(KIND.recipe)} ..." in output
    assert "Traceback" not in output
    assert took < 10


def test_a_pull_says_every_few_seconds_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KIND.recipe is not None
    monkeypatch.setattr(images, "PROGRESS_SECONDS", 0)
    messages: list[str] = []
    with engine(events=2) as one:
        one.over.set()
        monkeypatch.setenv("DOCKER_HOST", one.host)
        with pytest.raises(ServerError, match="cannot be pulled"):
            images.bake(images.connect(KIND), KIND, KIND.recipe, "a run", messages.append)

    name = recipes.default_base_image(KIND.recipe)
    assert messages[0] == f"testbed: pulling {name} ..."
    assert messages[-1] == f"testbed: pulling {name} ... 0 s 3 of 8 MB"

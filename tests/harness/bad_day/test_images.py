"""Images that cannot be built, take long, have impossible names, or belong to two clones."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import docker
import pytest

from flask_sqlalchemy_testbed.backends.base import Backend, new_name
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers import images, recipes
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from tests.harness.projects import Project, eventually

pytestmark = [pytest.mark.bad_day, pytest.mark.testbed_needs("container")]

VARIABLE = "STRANGE_IMAGE"


@pytest.fixture
def engine(testbed_backend: Backend) -> Iterator[docker.DockerClient]:
    with contextlib.closing(images.connect(testbed_backend)) as client:
        yield client


@pytest.fixture
def strange(
    testbed_backend: Backend,
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Backend]]:
    """Return a function that makes a backend from lines of a Dockerfile.

    Its image is built from them on the usual image.
    """
    assert testbed_backend.recipe is not None
    usual, _ = images.bake(engine, testbed_backend, testbed_backend.recipe, new_name(), print)
    recipe = replace(
        testbed_backend.recipe, folder="docker/strange", variable=VARIABLE, command=("sleep", "60")
    )
    folder = tmp_path / "data" / recipe.folder
    folder.mkdir(parents=True)
    name = f"strange-{new_name().removeprefix('testbed_')}"
    monkeypatch.setattr(recipes, "_PACKAGE", tmp_path)
    monkeypatch.setattr(images, "BASE_LABEL", name)
    monkeypatch.setattr(images, "LAYER_LABEL", name)
    monkeypatch.setenv(VARIABLE, usual)

    def make(*lines: str) -> Backend:
        labels = [f"LABEL {name}={name}", "ARG TESTBED_RUN", "LABEL testbed.build=$TESTBED_RUN"]
        head = [f"ARG {VARIABLE}", f"FROM ${VARIABLE}", *labels, "USER root"]
        (folder / "Dockerfile").write_text("\n".join([*head, *lines]))
        # With a dialect: the ports of containers without root answer before the server does.
        family = testbed_backend.family or testbed_backend.name
        return replace(testbed_backend, name=name, family=family, recipe=recipe)

    yield make
    for image in engine.images.list(filters={"label": name}):
        engine.images.remove(str(image.id), force=True)
    assert not layers(engine, name)


def layers(engine: docker.DockerClient, label: str) -> list[str]:
    """Return the images without a name that have a label."""
    return [str(image) for image in engine.api.images(quiet=True, filters={"dangling": True, "label": label})]


@pytest.fixture
def not_on_podman(engine: docker.DockerClient, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that ends a test of something that Podman does not offer."""

    def end_on_podman(reason: str) -> None:
        for part in engine.version().get("Components", []):
            if part["Name"] == "Podman Engine":
                state.not_applicable(request.node, f"{part['Name']} {part['Version']} {reason}")

    return end_on_podman


def bake(engine: docker.DockerClient, kind: Backend) -> str:
    assert kind.recipe is not None
    return images.bake(engine, kind, kind.recipe, new_name(), lambda _: None)[0]


def test_the_time_limit_of_a_server_starts_when_its_container_runs(strange: Callable[..., Backend]) -> None:
    kind, run = strange("RUN sleep 2"), Run(within=1, notify=lambda _: None)
    try:
        with pytest.raises(ServerError, match=r"was not ready within 1 s"):
            run.start([kind])
    finally:
        run.close()


def test_a_failed_build_shows_the_error_of_the_recipe_and_leaves_nothing(
    strange: Callable[..., Backend], engine: docker.DockerClient
) -> None:
    kind = strange("RUN touch /made", "RUN echo started; echo the disk is full >&2; exit 3")
    with pytest.raises(ServerError) as error:
        bake(engine, kind)

    assert "cannot be built" in str(error.value)
    # Docker reads the two outputs of the command in any order.
    outputs = r"started \| the disk is full|the disk is full \| started"
    assert re.search(rf"({outputs}) \| (The command|building at STEP)", str(error.value))
    assert "Removing intermediate" not in str(error.value)
    assert not layers(engine, kind.name)


def test_a_dockerfile_that_cannot_be_read_is_one_sentence(
    strange: Callable[..., Backend], engine: docker.DockerClient
) -> None:
    with pytest.raises(ServerError, match=r"docker/strange cannot be built on .*NONSENSE.*_URI\.$"):
        bake(engine, strange("NONSENSE"))


@pytest.mark.parametrize("name", ["UPPER/case:1", "a b", "postgres:18:18", ":", "-"])
def test_an_impossible_name_of_an_image_is_one_sentence(
    project: Project, testbed_backend: Backend, name: str
) -> None:
    recipe = testbed_backend.recipe
    assert recipe is not None
    project.backends = [testbed_backend.name]
    outcome = project.run(**{recipe.variable: name})

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.lines("ERROR: No server for ")
    assert line.endswith(
        f"{name!r} cannot be the name of an image."
        f" Set {recipe.variable} to a name such as {recipes.default_base_image(recipe)}."
    )


def test_two_clones_with_different_recipes_keep_their_images(
    strange: Callable[..., Backend], engine: docker.DockerClient
) -> None:
    tags = [bake(engine, strange(f"LABEL clone={clone}")) for clone in ("one", "two")]
    images.sweep(engine)

    for tag in tags:
        assert engine.images.get(tag)


def test_an_image_is_removed_two_weeks_after_its_last_use(
    strange: Callable[..., Backend],
    engine: docker.DockerClient,
    not_on_podman: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    not_on_podman("does not record when an image was tagged last")
    used, unused = (bake(engine, strange(f"LABEL which={which}")) for which in ("used", "unused"))
    time.sleep(1.1)  # The engine's times are compared to the second.
    bake(engine, strange("LABEL which=used"))
    monkeypatch.setattr(images, "KEPT_UNUSED", timedelta(seconds=1))
    images.sweep(engine)

    assert engine.images.get(used)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.images.get(unused)


BUILDS = """
import signal
import sys
from pathlib import Path

# A shell starts background processes with SIGINT ignored, and `nohup` its command with SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers import recipes

recipes._PACKAGE = Path(sys.argv[1])
run = Run(name=sys.argv[3])
try:
    run.start([BACKENDS[sys.argv[2]]])
except KeyboardInterrupt:
    pass
finally:
    run.close()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_cut_short_leaves_nothing(
    testbed_backend: Backend,
    engine: docker.DockerClient,
    not_on_podman: Callable[[str], None],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    not_on_podman("completes a step of a build after its client is gone, and does not list it")
    assert testbed_backend.recipe is not None
    folder = tmp_path / "data" / testbed_backend.recipe.folder
    shutil.copytree(recipes.folder(testbed_backend.recipe), folder)
    with (folder / "Dockerfile").open("a") as file:
        file.write("\nRUN sleep 61\n")
    words = [sys.executable, "-c", BUILDS, str(tmp_path), testbed_backend.name, name := new_name()]
    environment = {
        **os.environ,
        testbed_backend.recipe.variable: recipes.base_image(testbed_backend.recipe),
        variable(testbed_backend): "",
    }
    label = f"testbed.build={name}"
    with subprocess.Popen(
        words,
        env=environment,
        process_group=0,
    ) as process:
        try:
            eventually(lambda: "sleep 61" in commands(engine, label))
            assert layers(engine, label)
        finally:
            process.send_signal(number)

    eventually(lambda: not layers(engine, label))
    assert commands(engine, label) == "[]"


def commands(engine: docker.DockerClient, label: str) -> str:
    """Return the commands of the containers that have a label, also of the steps of a build."""
    found = engine.api.containers(all=True, filters={"label": label})
    return str([one["Command"] for one in found])


def test_layers_of_a_build_that_was_cut_short_are_removed_later(
    strange: Callable[..., Backend], engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = strange("RUN touch /made", "RUN exit 3")
    with monkeypatch.context() as cut_short:
        cut_short.setattr(images, "_remove", lambda *_: None)
        with pytest.raises(ServerError):
            bake(engine, kind)
    images.sweep(engine)
    assert layers(engine, kind.name)  # It may belong to a build of another run.
    monkeypatch.setattr(images, "LONGEST_BUILD", timedelta())
    images.sweep(engine)

    assert not layers(engine, kind.name)

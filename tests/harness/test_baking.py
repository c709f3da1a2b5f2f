import contextlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend, Recipe, new_name
from flask_sqlalchemy_testbed.servers import images, recipes
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from tests.harness.projects import Project

RECIPES = [backend.recipe for backend in BACKENDS.values() if backend.recipe]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the data of an installed package, outside its source tree."""
    package = tmp_path / "site-packages" / "flask_sqlalchemy_testbed"
    for recipe in RECIPES:
        shutil.copytree(recipes.folder(recipe), package / "data" / recipe.folder)
    images = "".join(f"{recipe.variable}=image:1\n" for recipe in RECIPES)
    (package / "data" / ".env").write_text(images)
    monkeypatch.setattr(recipes, "_PACKAGE", package)
    return package / "data"


def test_an_installed_package_builds_from_its_own_data(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for recipe in RECIPES:
        monkeypatch.delenv(recipe.variable, raising=False)

        assert recipes.folder(recipe) == copied / recipe.folder
        assert recipes.base_image(recipe).endswith(":1")


def test_the_error_for_a_missing_image_names_both_remedies(project_of_its_own: Project) -> None:
    named = {recipe.variable: "testbed.invalid/nothing:1" for recipe in RECIPES}
    project_of_its_own.write("def test_it(testbed_database):\n    pass\n")
    outcome = project_of_its_own.run(**named)

    lines = [line for line in outcome.text.splitlines() if "No server for " in line]
    assert len(lines) == len([name for name in project_of_its_own.backends if BACKENDS[name].recipe])
    for line in lines:
        assert "testbed.invalid/nothing:1 is not here and cannot be pulled" in line
        assert "Pull it yourself" in line
        assert "_URI" in line


@pytest.mark.usefixtures("copied")
def test_outside_the_source_tree_no_message_mentions_its_makefile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ServerError, match=r"Start Docker, or give a server in TESTBED_MYSQL_URI\.$"):
        images.connect(BACKENDS["mysql"])


@pytest.fixture
def engine(testbed_backend: Backend) -> Iterator[docker.DockerClient]:
    with contextlib.closing(images.connect(testbed_backend)) as client:
        yield client


@pytest.fixture
def bases(engine: docker.DockerClient) -> Iterator[list[str]]:
    """Return two different empty images."""
    names = [f"{new_name()}:base" for _ in range(2)]
    for name in names:
        content = io.BytesIO(f"FROM scratch\nLABEL is={name}\n".encode())
        engine.images.build(fileobj=content, tag=name, rm=True)
    yield names
    for name in names:
        for baked in engine.images.list(filters={"label": f"{images.BASE_LABEL}={name}"}):
            engine.images.remove(str(baked.id), force=True)
        engine.images.remove(name)


@pytest.mark.testbed_needs("container")
def test_an_image_is_built_once_for_each_recipe_and_base(
    testbed_backend: Backend,
    engine: docker.DockerClient,
    bases: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(folder="docker/nothing", variable="NOTHING_IMAGE", port=1, client="")
    kind = replace(testbed_backend, name="nothing", recipe=recipe)
    folder = tmp_path / "data" / recipe.folder
    folder.mkdir(parents=True)
    monkeypatch.setattr(recipes, "_PACKAGE", tmp_path)
    messages: list[str] = []

    def bake(base: str, content: str) -> str:
        monkeypatch.setenv(recipe.variable, base)
        lines = ["ARG NOTHING_IMAGE", "FROM $NOTHING_IMAGE", f"LABEL content={content}"]
        (folder / "Dockerfile").write_text("\n".join(lines))
        return images.bake(engine, kind, recipe, new_name(), messages.append)[0]

    of_another_base, first = bake(bases[1], "first"), bake(bases[0], "first")
    assert bake(bases[0], "first") == first != of_another_base
    assert len(messages) == 2

    second = bake(bases[0], "second")
    for tag in (of_another_base, first, second):
        assert engine.images.get(tag)

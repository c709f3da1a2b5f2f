"""`make` names a fault of the machine in one sentence, and keeps the user's files."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.bad_day


PYTHON = f"""#!/bin/sh
# The tests need no pip in the environment, and pip is most of the time that its creation takes.
case "$1 $2" in "-m venv") set -- "$@" --without-pip ;; esac
exec {sys.executable} "$@"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with our Makefile, no requirements, and a fast `python3`."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "bin").mkdir()
    write_program(tmp_path / "bin/python3", PYTHON)
    return tmp_path


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def environment(project: Path, *words: str, target: str = ".venv/.ready") -> subprocess.CompletedProcess[str]:
    """Make the environment of the project; a program that does nothing takes the place of pip."""
    return subprocess.run(
        ["make", "--no-print-directory", "INSTALL=-c pass", target, *words],
        cwd=project,
        env={**os.environ, "MAKEFLAGS": "", "PATH": f"{project}/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def made(project: Path) -> Path:
    """Return a project whose environment exists."""
    assert environment(project).returncode == 0
    return project


def test_an_environment_that_runs_is_kept(made: Path) -> None:
    assert "up to date" in environment(made).stdout


def test_an_environment_whose_python_was_removed_is_made_anew(made: Path) -> None:
    python = made / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    (made / ".venv/old").touch()

    assert environment(made).returncode == 0
    assert subprocess.run([python, "-c", "import ssl"], check=False).returncode == 0
    assert not (made / ".venv/old").exists()


def test_another_python_is_used_when_it_is_named(made: Path) -> None:
    # Pythons differ in version and prefix; the machine of the tests may have one Python only.
    other = made / "bin/python-other"
    write_program(other, PYTHON.replace("exec", 'case "$*" in *base_prefix*) echo other; exit;; esac\nexec'))
    (made / ".venv/old").touch()

    assert environment(made, f"PYTHON={other}").returncode == 0
    assert not (made / ".venv/old").exists()


def test_an_environment_outlives_the_name_of_its_python(made: Path) -> None:
    assert "up to date" in environment(made, "PYTHON=python3").stdout


def test_a_python_that_is_missing_or_too_old_is_named(project: Path) -> None:
    run = environment(project, "PYTHON=python2.1")

    assert "python2.1 is missing, older than 3.11, or has no ssl. Name another Python" in run.stdout
    assert run.returncode == 2
    assert not (project / ".venv").exists()


def test_an_environment_of_the_user_is_never_changed(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv/mine").touch()

    run = environment(project)

    assert "Make did not create .venv, so it does not change it." in run.stdout
    assert run.returncode == 2
    assert [path.name for path in (project / ".venv").iterdir()] == ["mine"]


def test_an_installation_that_fails_fails_the_command(project: Path) -> None:
    run = environment(project, "INSTALL=-c import")

    assert run.returncode == 2
    assert not (project / ".venv/.ready").exists()


def test_the_environment_announces_how_long_it_takes(project: Path) -> None:
    assert "This takes about a minute." in environment(project).stdout


def folder_of_trial(project: Path) -> str:
    """Return the folder of the environment that `make run` uses, for a trial that prints it and ends."""
    (project / "trials").mkdir()
    (project / "trials/__main__.py").write_text("import sys; print(sys.prefix)")
    return Path(environment(project, target="run").stdout.splitlines()[-1]).name


def test_the_trial_installs_only_the_packages_that_it_runs_with(project: Path) -> None:
    assert folder_of_trial(project) == ".venv-run"
    assert not (project / ".venv").exists()


def test_the_trial_uses_the_environment_of_the_tests_if_there_is_one(made: Path) -> None:
    assert folder_of_trial(made) == ".venv"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def trial(port: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trials"],
        cwd=ROOT,
        env={**os.environ, "APP_PORT": port, "TRIAL_BACKENDS": "sqlite"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_taken_port_is_one_sentence(taken_port: int) -> None:
    run = trial(str(taken_port))

    assert (
        run.stderr == f"Port {taken_port} is in use. Choose another one: APP_PORT={taken_port + 1} make run\n"
    )
    assert run.returncode == 1


@pytest.mark.parametrize("port", ["80000", "0", "http", "", "-1"])
def test_a_port_that_is_none_is_one_sentence(port: str) -> None:
    run = trial(port)

    assert run.stderr == f"APP_PORT is {port!r}. Set it to a port number from 1 to 65535.\n"
    assert run.returncode == 1


# --- docker/preflight -------------------------------------------------------------------------

DOCKER = """#!/bin/sh
case "$*" in
  info*) {info} ;;
  "compose version"*) {compose} ;;
  "buildx version"*) {buildx} ;;
  "compose port"*) {port} ;;
esac
"""
PORTS = ("APP_PORT", "POSTGRESQL_PORT", "MYSQL_PORT")
WORKING = {"info": "echo /", "compose": "echo 2.40.0", "buildx": "true", "port": "exit 1"}


def preflight(folder: Path, part: str = "stack", **changes: str) -> subprocess.CompletedProcess[str]:
    """Run docker/preflight with these variables and these answers of `docker`."""
    write_program(folder / "docker", DOCKER.format(**{**WORKING, **changes}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = dict.fromkeys(PORTS, str(free.getsockname()[1]))
    variables = {name: value for name, value in changes.items() if name in PORTS}
    return subprocess.run(
        [ROOT / "docker/preflight", part],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "USER": "ada", "ENGINE": "no", **ports, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_machine_that_has_everything_passes(tmp_path: Path) -> None:
    run = preflight(tmp_path)

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("part", ["engine", "stack"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1",
            (
                "Permission denied: ada may not use the Docker engine."
                " Run 'sudo usermod -aG docker ada', then log in again."
            ),
        ),
        (
            "echo 'Cannot connect to the Docker daemon.' >&2; exit 1",
            "No Docker engine answers within 30 s. Start Docker, or leave ENGINE unset.",
        ),
    ],
)
def test_an_engine_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, part: str, answer: str, sentence: str
) -> None:
    run = preflight(tmp_path, part, info=answer)

    assert run.stderr == sentence + "\n"
    assert run.returncode == 1


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"compose": "exit 1"}, "'docker compose' is not installed. Install Docker Compose 2.22 or newer."),
        ({"compose": "echo v2.9.1"}, "Docker Compose is 2.9.1. Install 2.22 or newer."),
        (
            {"buildx": "exit 1"},
            (
                "'docker buildx' is not installed, and the images need BuildKit."
                " Install the buildx plugin of Docker."
            ),
        ),
    ],
)
def test_a_missing_plugin_is_one_sentence(tmp_path: Path, answers: dict[str, str], sentence: str) -> None:
    run = preflight(tmp_path, **answers)

    assert run.stderr == sentence + "\n"
    assert run.returncode == 1


@pytest.mark.parametrize("variable", PORTS)
def test_a_port_of_the_stack_that_is_taken_is_one_sentence(
    tmp_path: Path, taken_port: int, variable: str
) -> None:
    run = preflight(tmp_path, **{variable: str(taken_port)})

    assert run.stderr.startswith(f"Port {taken_port} is in use. Choose another one: {variable}=")
    assert run.stderr.count("\n") == 1
    assert run.returncode == 1


def test_a_port_that_the_stack_itself_publishes_is_free(tmp_path: Path, taken_port: int) -> None:
    ports = dict.fromkeys(PORTS, str(taken_port))

    assert preflight(tmp_path, port=f"echo 127.0.0.1:{taken_port}", **ports).returncode == 0


def test_a_port_of_the_stack_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    run = preflight(tmp_path, MYSQL_PORT="80000")

    assert run.stderr == "MYSQL_PORT is '80000'. Set it to a port number from 1 to 65535.\n"


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    write_program(tmp_path / "df", "#!/bin/sh\nprintf 'Avail\\n  150\\n'\n")

    run = preflight(tmp_path, info=f"echo {tmp_path}")

    assert run.stderr == (
        f"Only 150 MiB are free in {tmp_path}. Free 2000 MiB, for example with 'docker system prune'.\n"
    )


# --- docker/with-podman -----------------------------------------------------------------------

# A service that does not end by itself, and whose process is known.
PODMAN = "#!/bin/sh\necho $$ >{folder}/service\nexec sleep 600\n"
# It answers once it runs.
DOCKER_ASKS_IT = '#!/bin/sh\ntest ! -s {folder}/service || echo " Podman Engine:"\n'


def with_podman(
    folder: Path, *command: str, host: str = "", alone: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run docker/with-podman with the programs of the folder, and with no other of their names if `alone`."""
    (folder / "bash").symlink_to(str(shutil.which("bash")))
    path = str(folder) if alone else f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [ROOT / "docker/with-podman", *command],
        env={"PATH": path, **({"DOCKER_HOST": host} if host else {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("there", "missing"), [("docker", "podman"), ("podman", "docker")])
def test_a_missing_program_is_one_sentence(tmp_path: Path, there: str, missing: str) -> None:
    write_program(tmp_path / there, "#!/bin/sh\n")

    run = with_podman(tmp_path, "true", alone=True)

    assert run.stderr == (
        f"'{missing}' is not installed."
        " Install both Podman and Docker's command line, which the tests use with Podman.\n"
    )
    assert run.returncode == 1


def test_the_tests_on_podman_say_that_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "bash").symlink_to(str(shutil.which("bash")))

    run = subprocess.run(
        [str(shutil.which("make")), "test-podman"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "'podman' is not installed." in run.stderr
    assert run.returncode == 2


def test_the_service_of_podman_ends_with_the_command(tmp_path: Path) -> None:
    write_program(tmp_path / "podman", PODMAN.format(folder=tmp_path))
    write_program(tmp_path / "docker", DOCKER_ASKS_IT.format(folder=tmp_path))

    run = with_podman(tmp_path, "sh", "-c", "echo $DOCKER_HOST; exit 3")

    socket_path = Path(run.stdout.strip().removeprefix("unix://"))
    assert len(str(socket_path)) <= 107
    assert not socket_path.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "service").read_text()), 0)
    assert (run.returncode, run.stderr) == (3, "")


def test_a_service_of_podman_that_answers_is_used(tmp_path: Path) -> None:
    write_program(tmp_path / "podman", "#!/bin/sh\nexit 1\n")
    write_program(tmp_path / "docker", '#!/bin/sh\necho " Podman Engine:"\n')

    run = with_podman(tmp_path, "sh", "-c", "echo $DOCKER_HOST", host="unix:///mine")

    assert (run.returncode, run.stdout, run.stderr) == (0, "unix:///mine\n", "")


def test_a_service_of_podman_that_ends_is_one_sentence(tmp_path: Path) -> None:
    write_program(tmp_path / "podman", "#!/bin/sh\necho no storage >&2\nexit 125\n")
    write_program(tmp_path / "docker", "#!/bin/sh\n")

    run = with_podman(tmp_path, "true")

    assert run.stderr == (
        "Podman's service ended or did not answer within 30 s. The end of its log: no storage\n"
    )
    assert run.returncode == 1

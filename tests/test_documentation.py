"""The documentation is true: its code runs, and its links, commands and settings exist."""

import os
import re
import shlex
import shutil
import tomllib
import warnings
from collections.abc import Iterator
from configparser import ConfigParser
from functools import partial
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks.causes import CAUSES
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.explanation import MISTAKES
from flask_sqlalchemy_testbed.checks.links import anchor
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.options import OPTIONS
from flask_sqlalchemy_testbed.plugin.schema import VARIABLES
from flask_sqlalchemy_testbed.servers.network import Server
from flask_sqlalchemy_testbed.subject.subject import URI_KEYS, URI_VARIABLES
from tests import checks_page, prepared
from tests.harness.projects import Project

ROOT = Path(__file__).parents[1]
# `make conformance` and `make applications` write these pages.
GENERATED = {ROOT / "docs" / "conformance.md", ROOT / "docs" / "applications.md"}
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")))
    if path not in GENERATED
}
CURRENT = {page: text for page, text in PAGES.items() if page != "CHANGES.md"}
COMMAND = re.compile(
    r"(\S*/)?(flask( --app \S+)? testbed|flask-sqlalchemy-testbed|python -m flask_sqlalchemy_testbed)( |$)"
)
OF_PYTEST = {option.flag for option in OPTIONS.values()}
AT_ONCE = {"--help", "--list", "--explain", "--version"}
OF_COMMANDS = {f"--{option.name}" for option in OPTIONS.values() if not option.own_tests}


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def found(pattern: str) -> list[tuple[str, str]]:
    """Return each page with each match of the pattern in it."""
    return sorted({(page, match) for page, text in CURRENT.items() for match in re.findall(pattern, text)})


def commands() -> Iterator[str]:
    """Yield the commands of the code blocks, without a prompt."""
    for text in CURRENT.values():
        for block in blocks("(?:console|sh)?", text):
            yield from (line.removeprefix("$ ") for line in block.splitlines())


def ours() -> list[str]:
    return sorted({line for line in commands() if COMMAND.match(line)})


def of_pytest() -> list[str]:
    return sorted({line for line in commands() if re.match(r"(\S*python -m )?pytest ", line)})


def test_the_page_of_the_checks_is_up_to_date() -> None:
    written = PAGES["docs/checks.md"]

    assert MISTAKES.read_text(encoding="utf-8") == checks_page.mistakes(), "Run: make checks-page"
    assert written == checks_page.render(), "Run: make checks-page"
    for check in CHECKS:
        assert written.count(f"\n### {check}\n") == 1
        # As GitHub makes the anchor of a heading.
        assert anchor(check) == re.sub(r"[^a-z0-9 -]", "", check.lower())


def test_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_readme_links_to_each_page() -> None:
    for page in (
        *ROOT.glob("docs/*.md"),
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "CHANGES.md",
    ):
        assert f"({page.relative_to(ROOT)})" in PAGES["README.md"]


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks("python", text)])
def test_its_code_runs(
    page: str,
    testbed_backend: Backend,
    testbed_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, block in enumerate(blocks("python", PAGES[page])):
        named = re.match(r"# (\w+\.py)\n", block)
        (tmp_path / (named[1] if named else f"test_{number}.py")).write_text(block)
    (tmp_path / "test_imports.py").write_text(
        "".join(f"import {path.stem}\n" for path in tmp_path.glob("*.py"))
        + "def test_all_modules_can_be_imported():\n    pass\n"
    )
    if testbed_server.url is not None:
        uri = testbed_server.url.render_as_string(hide_password=False)
        monkeypatch.setenv(f"TESTBED_{testbed_backend.name.upper()}_URI", uri)
    options = ["-q", "-p", "no:cacheprovider", "--testbed-backend", testbed_backend.name]
    # An example reads it when it is imported; its fixture has to import it again.
    monkeypatch.setenv("STOCK_DB", "sqlite://")

    words = ["pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)]
    run = prepared.run(words, cwd=ROOT, env=os.environ, timeout=60)

    assert run.returncode == 0, run.stdout


@pytest.mark.bad_day
def test_the_modules_of_an_app_that_is_imported_again_belong_together(tmp_path: Path) -> None:
    for block in blocks("python", PAGES["docs/harness.md"]):
        if named := re.match(r"# (stock|conftest)\.py\n", block):
            (tmp_path / f"{named[1]}.py").write_text(block)
    (tmp_path / "models.py").write_text("import stock\n")
    (tmp_path / "test_stock.py").write_text(
        "import stock as from_before\n"
        "def test_again(stock):\n"
        "    import models\n"
        "    assert models.stock is stock is not from_before\n"
        "def test_after_it():\n"
        "    import models\n"
        "    assert models.stock is from_before\n"
    )

    words = ["pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    run = prepared.run(words, cwd=tmp_path, env={**os.environ, "STOCK_DB": "sqlite://"}, timeout=60)

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("app", ["shop:create_app", "testbed_app.py:app_for"])
def test_the_failure_in_readme_is_real(tmp_path: Path, app: str) -> None:
    """Run the app of the page about your own app, also with the function that makes it from its URI."""
    for block in blocks("python", PAGES["docs/your-app.md"]):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    (failure,) = re.findall(r"^(Cause.*?)^\.\.\.$", PAGES["README.md"], re.MULTILINE | re.DOTALL)
    (check,) = re.findall(r"^(\S+) failed on", failure, re.MULTILINE)
    command = ["flask_sqlalchemy_testbed", app, "--backend", "sqlite", "--check", check, "--report", "report"]

    run = prepared.run(command, cwd=tmp_path, env={**os.environ, "COLUMNS": "80"}, timeout=60)

    assert failure in run.stdout
    assert run.returncode == 1


@pytest.mark.bad_day
def test_the_session_in_g_of_the_page_passes(tmp_path: Path) -> None:
    page = PAGES["docs/your-app.md"]
    (source,) = (block for block in blocks("python", page) if block.startswith("# depot.py"))
    (tmp_path / "depot.py").write_text(source)
    (words,) = (shlex.split(COMMAND.sub("", line)) for line in ours() if "depot:get_db" in line)
    ends = ("request-ends", "context-ends", "failed-request-ends", "nested-contexts", "thread", "cli-command")
    checks = [word for end in ends for word in ("--check", f"lifecycle.{end}")]
    command = ["flask_sqlalchemy_testbed", *words, "--backend", "sqlite", *checks]

    run = prepared.run(command, cwd=tmp_path, env=os.environ, timeout=60)

    assert "6 checks on 1 backend: 6 passed" in run.stdout, run.stdout
    assert run.returncode == 0


def test_the_example_can_be_made_again_while_a_session_is_open() -> None:
    shop: dict[str, Any] = {}
    source = next(block for block in blocks("python", PAGES["docs/your-app.md"]) if "db_session" in block)
    exec(source, shop)  # noqa: S102 - the page is this project's
    make = partial(shop["create_app"], {"SQLALCHEMY_DATABASE_URI": "sqlite://"})

    with warnings.catch_warnings(), make().app_context():
        warnings.simplefilter("error")
        shop["db_session"]()
        make()


@pytest.mark.parametrize(("page", "target"), found(r"\]\((?!https?://)([^)#]+)\)"))
def test_its_links_resolve(page: str, target: str) -> None:
    assert (ROOT / page).parent.joinpath(target).exists()


@pytest.mark.parametrize(("page", "target"), found(r"\bmake\s+([a-z][a-z0-9-]+)`"))
def test_its_make_targets_exist(page: str, target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, re.MULTILINE), page


def test_the_make_targets_of_its_code_blocks_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    files = [ROOT / ".ci" / "run", *ROOT.glob(".github/workflows/*.yml")]
    lines = [*commands(), *(line for file in files for line in file.read_text("utf-8").splitlines())]
    called = {
        target for line in lines for target in re.findall(r"(?:^|: |=\S+ )make ([a-z][a-z0-9-]+)", line)
    }
    assert {"test", "test-all", "lint", "test-wheel"} <= called

    assert {target for target in called if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@pytest.mark.parametrize(
    ("page", "name"), found(r"`((?:APP|DATABASE|TESTBED|[A-Z]+_IMAGE|[A-Z]+_PORT)[A-Z_]*)\b")
)
def test_its_settings_are_read_somewhere(page: str, name: str) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (*ROOT.glob("app/**/*.py"), ROOT / ".env")]
    package = ROOT / "flask_sqlalchemy_testbed"
    own = (package / "subject" / "subject.py", package / "battery" / "requests.py")
    sources += [path.read_text(encoding="utf-8") for path in own]
    derived = {f"TESTBED_{backend.upper()}_{end}" for backend in BACKENDS for end in ("URI", "PASSWORD_FILE")}

    assert name in derived or any(name in source for source in sources), page


@pytest.mark.parametrize("line", ours())
def test_its_commands_have_these_options(line: str) -> None:
    words = shlex.split(COMMAND.sub("", line, count=1))
    own = words[: words.index("--")] if "--" in words else words

    assert {word for word in own if word.startswith("--")} <= OF_COMMANDS | AT_ONCE


@pytest.mark.parametrize("line", of_pytest())
def test_its_pytest_commands_have_these_options(line: str) -> None:
    assert {word for word in shlex.split(line) if word.startswith("--testbed")} <= OF_PYTEST


@pytest.mark.parametrize(("page", "option"), found(r"`(--testbed-[a-z-]+)"))
def test_its_options_of_pytest_exist(page: str, option: str) -> None:
    assert option in OF_PYTEST, page


def test_the_table_of_options_is_complete() -> None:
    for option in OPTIONS.values():
        short = "" if option.own_tests else f"`--{option.name}`"
        flag = f"{option.flag} {option.metavar}".strip()
        key = f"`{option.key}`" if option.default is not None else ""

        assert f"\n| {short} | `{flag}` | {option.help} | {key} |\n" in PAGES["docs/your-app.md"]


def test_the_variables_of_a_schema_command_are_named() -> None:
    for text in (PAGES["docs/harness.md"], OPTIONS["schema-command"].help):
        of_command = " ".join(text.partition("flask --app shop db upgrade")[2].split())
        first, *others = VARIABLES

        assert of_command.index(first) < of_command.index(others[-1]) < of_command.index("--testbed-uri-env")


def test_the_engine_for_migrations_replaces_a_line_of_flask_migrate() -> None:
    page = " ".join(PAGES["docs/binding.md"].split())
    (found,) = re.findall(r"add `([^`]+)`, and write `([^`]+)` in place of `([^`]+)`", page)
    (env,) = (file for file in files("Flask-Migrate") or () if file.match("templates/flask/env.py"))

    assert env.read_text().count(f"\n    {found[2]}\n") == 1
    made: dict[str, Any] = {"get_engine": lambda: create_engine("sqlite://")}
    exec("\n".join(found[:2]), made)  # noqa: S102 - the page is this project's
    assert made["connectable"].url == make_url("sqlite://")


@pytest.mark.testbed_needs("server")
def test_a_backend_can_be_added_by_following_the_page(
    tmp_path: Path, testbed_database: Database, testbed_backend: Backend
) -> None:
    page, name = PAGES["docs/servers.md"], testbed_backend.name
    package = tmp_path / "flask_sqlalchemy_testbed"
    shutil.copytree(ROOT / package.name, package, ignore=shutil.ignore_patterns("__pycache__"))
    (module,) = (code for code in blocks("python", page) if "AURORA" in code)
    # The page adds a relative of MySQL; here it is one of the run's backend.
    module = module.replace("mysql", name).replace("MYSQL", name.upper())
    (package / "backends" / "aurora.py").write_text(module)
    lines = blocks("diff", page)[0].splitlines()
    before, after = (
        "\n".join(line[1:] for line in lines if line[:1] in kept).strip() for kept in ("- ", "+ ")
    )
    registry = package / "backends" / "__init__.py"
    source = registry.read_text(encoding="utf-8")
    assert before in source
    registry.write_text(source.replace(before, after))
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    shutil.copy(ROOT / ".env", tmp_path)
    project = Project(tmp_path / "project", backends=["aurora"])
    project.path.mkdir()
    project.write(f"""
        import pytest

        @pytest.mark.aurora
        def test_it(testbed_database, testbed_backend):
            assert testbed_backend.of({{"{name}": "of the family"}}) == "of the family"
            assert testbed_database.connection.rows("SELECT 1") == [(1,)]
    """)
    uri = testbed_database.url.render_as_string(hide_password=False)
    outcome = project.run(TESTBED_AURORA_URI=uri, PYTHONPATH=str(tmp_path))

    assert "1 passed" in outcome.text


def test_both_forms_of_the_configuration_name_the_same_backends() -> None:
    (ini,), (toml,) = (blocks(language, PAGES["docs/harness.md"]) for language in ("ini", "toml"))
    config = ConfigParser()
    config.read_string(ini)

    options = tomllib.loads(toml)["tool"]["pytest"]["ini_options"]

    assert options == {name: value.split() for name, value in config["pytest"].items()}


def test_the_names_of_the_uri_in_the_readme_are_tried() -> None:
    names = re.search(r"The names (.+?) are known", PAGES["README.md"], re.DOTALL)

    assert names
    assert {*re.findall("`(.+?)`", names[1])} == {*URI_VARIABLES} & {*URI_KEYS}


@pytest.mark.parametrize("file", ["reset", "errors", "streams"])
def test_a_file_that_a_remedy_has_copied_names_no_function_of_another_file(file: str) -> None:
    assert f"Copy app/database/{file}.py" in "".join(cause.remedy for cause in CAUSES.values())
    assert "make_engine" not in (ROOT / "app" / "database" / f"{file}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/your-app.md"])
def test_a_new_run_after_each_change_is_advised(page: str) -> None:
    assert re.search("Run again after each change|after a change, run the battery again", PAGES[page])


@pytest.mark.parametrize("page", ["README.md", "docs/your-app.md"])
def test_the_environment_is_activated_before_the_first_command(page: str) -> None:
    lines = [line for block in blocks("console", PAGES[page]) for line in block.splitlines()]
    activated = lines.index("$ . testbed-venv/bin/activate")

    assert not any(COMMAND.match(line.removeprefix("$ ")) for line in lines[:activated])
    assert not any(line.startswith("$ testbed-venv/bin/") for line in lines)


def test_readme_has_an_app_installed_only_if_pip_can_do_so() -> None:
    assert "If your app has a `setup.py`, or a `pyproject.toml` with `[project]`" in " ".join(
        PAGES["README.md"].split()
    )


@pytest.mark.parametrize("page", ["README.md", "docs/harness.md"])
def test_it_says_which_tests_are_watched_for_leaks(page: str) -> None:
    assert "test that uses a database fixture" in " ".join(PAGES[page].split())


@pytest.mark.parametrize("page", ["README.md", "docs/harness.md"])
def test_it_says_in_which_environment_all_tests_run(page: str) -> None:
    assert re.search(r"Run all tests of your app in th(e|at) environment", " ".join(PAGES[page].split()))


@pytest.mark.parametrize("page", ["README.md", "docs/your-app.md"])
def test_it_says_that_the_views_of_the_app_are_not_called(page: str) -> None:
    assert "write tests with the fixtures" in PAGES[page]

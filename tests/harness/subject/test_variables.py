"""The environment variables and files from which an app may read its URI, and advice where it reads none."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.lookups import Lookups, uri_variables, value_of
from tests.harness.shops import BINDING
from tests.harness.subject.resolving import Write, resolved, works_on

CONFIGURED = "app = Flask('shop'); app.config.{load}; return made(app.config['DATABASE_URL'])"
READING = {
    "another name": "return made(os.environ['SHOP_DB_URI'])",
    "another name, or a default": "return made(os.getenv('SHOP_DATABASE', 'sqlite:///testbed_other.db'))",
    "path": "return made('sqlite:///' + os.environ.get('DB_PATH', 'testbed_other.db'))",
    "path in parts": "return made(f\"{os.environ['DB_TYPE']}:///{os.environ['DB_NAME']}\")",
    "file": CONFIGURED.format(load="from_envvar('SHOP_WHERE')"),
    "file by name": CONFIGURED.format(load="from_pyfile(os.environ['SHOP_SETTINGS'])"),
    "class by name": CONFIGURED.format(load="from_object(os.environ['SHOP_SETTINGS'])"),
}


@pytest.mark.parametrize("where", READING)
@pytest.mark.parametrize("on_import", [False, True])
def test_variables_that_the_app_looks_up_are_tried(
    write: Write, uri: str, other_uri: str, where: str, *, on_import: bool
) -> None:
    body = f"    {READING[where]}\n"
    source = f"def make():\n{body}\napp = make()" if on_import else f"def create_app():\n{body}"
    write(BINDING, "import os", source)

    assert works_on(resolved(uri, "shop"), uri, other_uri)


def test_an_app_that_must_be_told_at_its_import_is(write: Write, uri: str) -> None:
    refuse = "if not uri:\n    raise RuntimeError('set it')"
    write(BINDING, "import os", "uri = os.environ.get('DATABASE_URL')", refuse, "app = made(uri)")

    subject = resolved(uri, "shop")

    assert subject.uri_env == "DATABASE_URL"
    assert works_on(subject, uri)


def test_a_file_of_a_variable_keeps_its_other_values(
    write: Write, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_SETTINGS", str(Path("own.cfg").absolute()))
    write("SECRET = 's'\nDATABASE_URL = 'sqlite:///own.db'", name="own.cfg")
    load = "from_envvar('SHOP_SETTINGS'); assert app.config['SECRET'] == 's'"
    write(BINDING, f"def create_app():\n    {CONFIGURED.format(load=load)}")

    assert works_on(resolved(uri, "shop"), uri)


def test_parts_of_a_uri_are_recognised_by_their_names() -> None:
    database = ("POSTGRES_DB", "PGUSER", "DB_PASSWORD", "MYSQL_HOST", "DB_PORT")
    names = (*database, "REDIS_URL", "SENTRY_DSN", "MONGODB_URI", "HOME", "PATH")
    url = make_url("postgresql://me:secret@server:5433/shop")

    parts = uri_variables(dict.fromkeys(names, ""))

    values = {name: value_of(part, url, parts.values()) for name, part in parts.items()}
    assert values == dict(zip(database, ("shop", "me", "secret", "server", "5433"), strict=True))
    assert value_of("host", url, ["host", "user"]) == "server:5433"


@pytest.mark.parametrize("source", ["import nowhere", "1 +"])
def test_code_that_cannot_be_imported_is_imported_once(write: Write, uri: str, source: str) -> None:
    noted = "import os\nwith open('noted', 'a') as file:\n    file.write(os.environ.get('DATABASE_URL', '.'))"
    write(source, name="broken.py")
    write(BINDING, noted, "import broken")

    with pytest.raises(SubjectError, match=r"importing 'shop' raised \w+: ") as raised:
        resolved(uri, "shop")

    assert "app_for" not in str(raised.value)
    assert Path("noted").read_text() == "."


def test_lookups_of_the_harness_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415 - its class is replaced

    from flask_sqlalchemy_testbed.subject.process_state import Environment  # noqa: PLC0415

    monkeypatch.setenv("TOLD", "x")
    environment, kind = Environment(), type(os.environ)
    with Lookups() as lookups:
        environment.set({"OURS": "x"})
        assert os.getenv("TOLD") == "x"
    environment.restore()

    assert lookups.names.keys() == {"TOLD"}
    assert type(os.environ) is kind


HARD_CODED = """
    def create_app():
        '''It uses sqlite:///in_a_docstring.db.'''
        return made("sqlite:///shop.db")
"""
PARTS = """
    import os
    def create_app():
        user, password = os.environ.get("DB_USER", "shop"), os.environ.get("DB_PASSWORD", "secret-password")
        return made(f"postgresql+psycopg2://{user}:{password}@{os.environ.get('DB_HOST', 'localhost')}/shop")
"""
ON_IMPORT = """
    create_engine(made("sqlite:///shop.db").extensions["engine"].url).connect()
"""
OTHER_NAME = """
    import os
    def create_app():
        os.environ.get("SHOP_DATABASE_URL")
        return made(":".join(["sqlite", "///shop.db"]))
"""


@pytest.mark.parametrize(
    ("source", "sentences"),
    [
        (
            HARD_CODED,
            [
                "The app looked up no environment variable whose name is like that of a database.",
                "A URI is written in shop.py, line {line}. Read the variable DATABASE_URL there first:",
                "name it: --testbed-app testbed_app.py:app_for.",
            ],
        ),
        (
            PARTS,
            [
                "The app looked up DB_USER, DB_PASSWORD and DB_HOST, which got the URI or its parts.",
                "A URI is written in shop.py, line {line}.",
                "a URI of another kind of database: try --testbed-backend postgresql.",
            ],
        ),
        (
            ON_IMPORT,
            [
                "shop.db when it started: that is not a database of this run, and the connection",
                "A URI is written in shop.py, line {line}. Read the variable DATABASE_URL there first:",
            ],
        ),
        (
            OTHER_NAME,
            [
                "The app looked up SHOP_DATABASE_URL, which got the URI or its parts.",
                "reads the URI: --testbed-uri-key KEY, or --testbed-uri-env VARIABLE.",
            ],
        ),
    ],
)
def test_the_message_says_what_was_tried_and_what_helps(
    write: Write, uri: str, source: str, sentences: list[str]
) -> None:
    write(BINDING, source)

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    message = str(raised.value)
    lines = Path("shop.py").read_text().splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if "made(" in text and "://" in text] or [0]
    assert [one for one in sentences if one.format(line=line) not in message] == [], message
    assert "secret-password" not in message


USES_IT = {
    "by a factory": """
    def create_app(config):
        return started(config["DATABASE_URI"])
    """,
    "on import": """
    app = started(os.environ.get("DATABASE_URL", "sqlite:///shop.db"))
    """,
}


@pytest.mark.parametrize("where", USES_IT)
@pytest.mark.parametrize(
    ("starts", "reason", "advice"),
    [
        ("engine.connect().exec_driver_sql('SELECT x FROM nowhere')", "nowhere", ""),
        (
            "engine.connect().close(); {}['SECRET']",
            "'SECRET'",
            "If the app needs other values, name a file that",
        ),
    ],
)
def test_an_app_that_fails_on_the_database_that_it_was_given_needs_no_advice_on_the_uri(  # noqa: PLR0913, PLR0917
    write: Write, uri: str, where: str, starts: str, reason: str, advice: str
) -> None:
    started = f"def started(uri):\n    engine = create_engine(uri)\n    {starts}\n    return made(uri)"
    write(BINDING, "import os", started, USES_IT[where])

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    message = str(raised.value)
    assert reason in message
    assert advice in message
    assert "A URI is written" not in message
    assert "tried in these ways" not in message


WITH_DEFAULT = "made(os.environ.get('DATABASE_URL', 'sqlite:///shop.db'))"


@pytest.mark.bad_day
@pytest.mark.parametrize(
    "source", [f"app = {WITH_DEFAULT}", f"def create_app(config=None):\n    return {WITH_DEFAULT}"]
)
def test_a_wrong_name_of_the_variable_is_said_with_the_right_one(write: Write, uri: str, source: str) -> None:
    write(BINDING, "import os", source)

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop", uri_env="SHOP_DB")

    name = "app" if source.startswith("app") else "create_app"
    assert str(raised.value) == (
        f"--testbed-app 'shop:{name}' did not look up SHOP_DB, the variable of --testbed-uri-env."
        " It looked up DATABASE_URL: add --testbed-uri-env DATABASE_URL instead."
    )


@pytest.mark.bad_day
def test_a_wrong_name_of_the_variable_of_an_app_that_reads_parts_is_left_out(write: Write, uri: str) -> None:
    write(BINDING, "import os\nos.environ.get('DB_HOST')", f"app = {WITH_DEFAULT}")

    with pytest.raises(
        SubjectError, match=r"It looked up DB_HOST and DATABASE_URL: leave --testbed-uri-env out"
    ):
        resolved(uri, "shop", uri_env="SHOP_DB")


@pytest.mark.bad_day
def test_a_variable_of_another_name_that_replaces_the_written_uri_is_named(write: Write, uri: str) -> None:
    write(BINDING, "import os", "app = made(os.environ.get('SHOP_STORE') or 'sqlite:///shop.db')")

    with pytest.raises(
        SubjectError, match="SHOP_STORE replaces it: add --testbed-uri-env SHOP_STORE"
    ) as raised:
        resolved(uri, "shop")

    assert "Read the variable DATABASE_URL" not in str(raised.value)


MISSING_DRIVER = "postgresql+pg8000://prod:secret-password@server/shop"


@pytest.mark.bad_day
def test_a_variable_left_in_the_shell_whose_driver_is_missing_is_replaced(
    write: Write, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", MISSING_DRIVER)
    write(BINDING, "import os", "engine = create_engine(os.environ['DATABASE_URL'])", f"app = {WITH_DEFAULT}")

    assert works_on(resolved(uri, "shop"), uri)


@pytest.mark.bad_day
def test_the_message_on_a_missing_driver_names_the_variable_that_holds_the_uri(
    write: Write, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_STORE", MISSING_DRIVER)
    write(BINDING, "import os", "app = made(os.environ['SHOP_STORE'])")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    assert str(raised.value) == (
        "--testbed-app 'shop': importing 'shop' raised ModuleNotFoundError: No module named 'pg8000'. It is"
        " the driver of the URI that the variable SHOP_STORE holds: add --testbed-uri-env SHOP_STORE, or"
        " unset the variable, or run: pip install 'pg8000'."
    )


@pytest.mark.bad_day
def test_the_message_on_a_missing_driver_names_the_line_of_the_uri(write: Write, uri: str) -> None:
    write(BINDING, f"app = made('{MISSING_DRIVER}')")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    line = len(Path("shop.py").read_text().splitlines())
    assert "It is the driver of a URI that the app uses: run: pip install 'pg8000'." in str(raised.value)
    assert f"A URI is written in shop.py, line {line}. Read the variable DATABASE_URL" in str(raised.value)
    assert "secret-password" not in str(raised.value)

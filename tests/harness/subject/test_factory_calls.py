from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from tests.harness.shops import BINDING, FACTORY
from tests.harness.subject.resolving import Write, resolved, works_on

OTHER = "sqlite:///testbed_other.db"


def returning(uri: str, parameter: str = "") -> str:
    return f"import os\n\ndef create_app({parameter}):\n    return made({uri})\n"


def configured(parameter: str, load: str) -> str:
    body = f"app = Flask('shop'); app.config.{load}; return made(app.config['DATABASE_URL'])"
    return f"import os\n\ndef create_app({parameter}):\n    {body}\n"


# A factory for each call, by its description.
FACTORIES = {
    "with a mapping": configured("config=None", "from_mapping(config)"),
    "with database_url=": returning("database_url", "debug=False, *, database_url"),
    "with keyword arguments": returning("settings['SQLALCHEMY_DATABASE_URI']", "**settings"),
    "with a config class": f"class Config:\n    SECRET, DATABASE_URL = 's', '{OTHER}'\n"
    + configured("config=Config", "from_object(config); assert app.config['SECRET'] == 's'"),
    "with the name of a config class": configured("config: str = 'nowhere'", "from_object(config)"),
    "with the name of a config file": configured("settings: str = 'shop.cfg'", "from_pyfile(settings)"),
    "with nothing but the environment": returning("os.environ['DATABASE_URL']"),
    "with 'testing'": configured(
        "name",
        f"from_mapping({{'testing': dict(DATABASE_URL=os.environ.get('DATABASE_URL', '{OTHER}'))}}[name])",
    ),
}


@pytest.mark.parametrize("call", FACTORIES)
def test_the_call_that_works_is_found(write: Write, uri: str, other_uri: str, call: str) -> None:
    write(BINDING, FACTORIES[call])

    subject = resolved(uri, "shop")

    assert f"made {call}" in "; ".join(subject.notes)
    assert subject.session_path == "shop:db_session"
    assert subject.makes_several_apps
    assert works_on(subject, uri, other_uri)


@pytest.mark.parametrize(
    ("factory", "app", "options"),
    [
        (returning("config['SHOP_DATABASE']", "config"), "shop", {"uri_key": "SHOP_DATABASE"}),
        (returning("config['SHOP']['MAIN']", "config"), "shop", {"uri_key": "SHOP.MAIN"}),
        (
            returning("{('testing', True): os.environ['SHOP']}[name, debug]", "name, debug"),
            "shop:create_app('testing', True)",
            {"uri_env": "SHOP"},
        ),
    ],
)
def test_the_user_names_the_key_or_writes_the_call(
    write: Write, uri: str, factory: str, app: str, options: dict[str, str]
) -> None:
    write(BINDING, factory)

    assert works_on(resolved(uri, app, **options), uri)


@pytest.mark.parametrize(
    ("parameter", "kinds"),
    [
        ("config=Config", ["type", ""]),
        ("config='shop.cfg'", ["str", "str", ""]),
        ("config={}", ["dict", ""]),
        ("config: dict[str, str] | None = None", ["dict", ""]),
        ("config: Config | None = None", ["type", ""]),
        ("config: str", ["str"] * 7),
        ("config", ["dict", "type", *["str"] * 7]),
        ("debug=False", [""]),
        ("", [""]),
    ],
)
def test_the_signature_decides_which_calls_are_tried(
    write: Write, uri: str, tmp_path: Path, parameter: str, kinds: list[str]
) -> None:
    write(
        BINDING,
        f"""
        class Config:
            pass

        def create_app({parameter}):
            given = locals().get("config")
            default = given in (None, "shop.cfg", {{}}, Config)
            with open("tried", "a") as file:
                print("" if default else type(given).__name__, file=file)
            raise RuntimeError
        """,
    )

    with pytest.raises(SubjectError):
        resolved(uri, "shop")

    assert (tmp_path / "tried").read_text().splitlines() == kinds


def test_a_failed_call_does_not_decide_the_next(write: Write, uri: str) -> None:
    first = f"apps or apps.append(made(getattr(config, 'DATABASE_URI', '{OTHER}')))"
    write(BINDING, f"apps = []\n\ndef create_app(config=None):\n    {first}\n    return apps[0]")

    assert "with a config class" in "; ".join(resolved(uri, "shop").notes)


def test_the_message_lists_all_calls(write: Write, uri: str) -> None:
    write(BINDING, returning(f"'{OTHER}'", "config=None"))

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    first, lists, *ways = str(raised.value).splitlines()
    assert "did not use the run's database. A URI is written in shop.py, line " in first
    assert first.count("testbed_app.py:app_for") == 1
    assert lists == "The app was tried in these ways:"
    assert ways[0].startswith(f"  is bound to {OTHER}, not to")
    assert ways[1:5] == [
        "    with a mapping",
        "    with a config class",
        "    with the name of a config class",
        "    with the name of a config file",
    ]
    assert ways[5].startswith(f"  is bound to {OTHER}, not to")
    assert ways[6:] == ["    with nothing but the environment"]


@pytest.mark.bad_day
def test_an_error_that_all_calls_raise_is_named_first(write: Write, uri: str) -> None:
    write(BINDING, "def create_app(config=None):\n    raise RuntimeError('no licence')")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    first, *_ = str(raised.value).splitlines()
    line = len(Path("shop.py").read_text().splitlines())
    assert first.startswith(
        f"--testbed-app 'shop:create_app' raised RuntimeError in shop.py, line {line}: no licence. Write a"
    )


@pytest.mark.bad_day
def test_errors_of_all_calls_need_no_advice_on_the_uri(write: Write, uri: str) -> None:
    names = f"names = {{'development': '{OTHER}'}}"
    write(BINDING, names, "def create_app(name='development'):\n    return made(names[name] + None)")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    first, *_ = str(raised.value).splitlines()
    assert "'shop:create_app' raised an error in each way in which it was tried. Write a function" in first
    assert "A URI is written" not in str(raised.value)


@pytest.mark.bad_day
def test_a_name_that_the_factory_lacks_is_named_whatever_other_calls_raise(write: Write, uri: str) -> None:
    names = "names = {'development': 1}"
    write(BINDING, names, "def create_app(name='development'):\n    return names[name] + typo")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    line = len(Path("shop.py").read_text().splitlines())
    assert str(raised.value) == (
        f"--testbed-app 'shop:create_app' raised NameError in shop.py, line {line}: name 'typo' is not"
        " defined. Correct the code."
    )


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "from own import gone",
            r"ImportError in shop\.py, line \d+: cannot import name 'gone' from .*",
        ),
        ("import own.gone", r"ModuleNotFoundError in shop\.py, line \d+: No module named 'own\.gone'.*"),
    ],
)
def test_a_name_that_another_module_of_the_app_lacks_is_one_sentence(
    write: Write, uri: str, code: str, error: str
) -> None:
    write("", name="own.py")
    write(BINDING, f"def create_app():\n    {code}")

    with pytest.raises(
        SubjectError, match=rf"^--testbed-app 'shop:create_app' raised {error}\. Correct the code\.$"
    ):
        resolved(uri, "shop")


@pytest.mark.bad_day
def test_a_module_that_is_not_installed_is_no_mistake_of_the_code(write: Write, uri: str) -> None:
    write(BINDING, "def create_app():\n    import not_installed")

    with pytest.raises(SubjectError, match=r"No module named 'not_installed'\. .* install its package"):
        resolved(uri, "shop")


@pytest.mark.bad_day
def test_the_message_on_an_app_with_a_fixed_uri_begins_with_the_line_to_change(
    write: Write, uri: str
) -> None:
    write(BINDING, f"app = made('{OTHER}')")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop:app")

    first, *_ = str(raised.value).splitlines()
    line = len(Path("shop.py").read_text().splitlines())
    assert first.startswith(
        "--testbed-app 'shop:app' did not use the run's database."
        f" A URI is written in shop.py, line {line}. Read the variable DATABASE_URL there first: "
    )
    assert "app_for" not in str(raised.value)


@pytest.mark.parametrize(
    "configuration",
    [
        "app.config.from_mapping(DATABASE='sqlite:///notes.db')",
        "app.config['DATABASE'] = 'sqlite:///notes.db'",
        "app.config.update({'DATABASE': 'sqlite:///' + 'notes.db'})",
    ],
)
def test_the_message_on_an_app_with_a_key_of_its_own_names_the_key(
    write: Write, uri: str, configuration: str
) -> None:
    write(
        BINDING,
        f"""
        def create_app(config=None):
            app = Flask("shop")
            {configuration}
            app.config.from_mapping(config)
            return made(app.config["DATABASE"])
        """,
    )

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    assert "It is the configuration of DATABASE: try --testbed-uri-key DATABASE. Or write" in str(
        raised.value
    )


def test_a_teardown_that_raises_is_left_to_the_checks(write: Write, uri: str) -> None:
    write(FACTORY.replace("db_session.remove()", "1 / 0"))

    assert resolved(uri, "shop").app_path == "shop:create_app"

"""The other values of the app's configuration are kept."""

from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from tests.harness.shops import BINDING
from tests.harness.subject.resolving import Write, resolved, works_on

FILES = {
    "shop.cfg": "SECRET = {'s'}\nDATABASE_URL = 'sqlite:///own.db'",
    "shop.json": '{"SECRET": ["s"], "DATABASE_URL": "sqlite:///own.db"}',
    "shop.toml": 'SECRET = ["s"]\nDATABASE_URL = "sqlite:///own.db"\n',
}
LOADS = {
    "mapping": ("config", "app.config.from_mapping(config)"),
    "keywords": ("**config", "app.config.from_mapping(config)"),
    "class": ("config: type", "app.config.from_object(config)"),
    "import name": ("config: str", "app.config.from_object(config)"),
    "file": ("config: str", "app.config.from_pyfile(config)"),
    "environment": ("", "app.config.from_envvar('SHOP_SETTINGS')"),
    "JSON": ("config='shop.json'", "app.config.from_file(config, __import__('json').load)"),
    "second parameter": ("debug=False, given=None", "app.config.from_mapping(given)"),
    "keyword parameter": ("*, debug=False, given=None", "app.config.from_mapping(given)"),
    "position": ("debug=False, given=None, /", "app.config.from_mapping(given)"),
    "beside a name": ("import_name, given", "app.config.from_mapping(given)"),
}
# Each has a value without which the factory raises, and a URI of its own.
BASES = {
    "module": ("config='settings'", "app.config.from_object(config)"),
    "class": ("config=settings.Own", "app.config.from_object(config)"),
    "instance": ("config=settings.Own()", "app.config.from_object(config); config.method()"),
    "annotated class": ("config: settings.Own", "app.config.from_object(config); config.method()"),
    "frozen": ("config=settings.Frozen('sqlite:///own.db')", "app.config.from_object(config)"),
    "mapping": ("config=dict(SECRET='s')", "app.config.from_mapping(config)"),
    "file": ("config='own.cfg'", "app.config.from_pyfile(config)"),
    "TOML": ("config='own.toml'", "app.config.from_file(config, __import__('tomllib').load, text=False)"),
}
SETTINGS = """
    from dataclasses import dataclass

    SECRET = "s"
    DATABASE_URL = "sqlite:///own.db"

    class Own:
        SECRET = "s"
        DATABASE_URL = "sqlite:///own.db"

        def method(self):
            assert "/own.db" not in self.DATABASE_URL

    @dataclass(frozen=True)
    class Frozen:
        DATABASE_URL: str
        SECRET: str = "s"
"""


def shop(parameter: str, load: str) -> str:
    folder = str(Path.cwd())
    return (
        f"import settings\ndef create_app({parameter}):\n    app = Flask('shop', root_path={folder!r})\n"
        f"    {load}\n    assert app.config['SECRET']\n    return made(app.config['DATABASE_URL'])\n"
    )


@pytest.mark.parametrize("load", LOADS)
def test_the_named_file_is_the_base_of_what_the_factory_gets(
    write: Write, uri: str, other_uri: str, load: str
) -> None:
    write("", name="settings.py")
    write(BINDING, shop(*LOADS[load]))
    write(FILES["shop.cfg"], name="shop.cfg")

    subject = resolved(uri, "shop", config=str(Path("shop.cfg").absolute()))

    assert works_on(subject, uri, other_uri)


@pytest.mark.parametrize("file", FILES)
def test_the_named_file_may_be_python_json_or_toml(write: Write, uri: str, file: str) -> None:
    write("", name="settings.py")
    write(BINDING, shop(*LOADS["mapping"]))
    write(FILES[file], name=file)

    assert works_on(resolved(uri, "shop", config=str(Path(file).absolute())), uri)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1 / 0", r"--testbed-config 'shop\.cfg' cannot be read: ZeroDivisionError"),
        (None, r"--testbed-config 'shop\.cfg' cannot be read: FileNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    write: Write, uri: str, text: str | None, complaint: str
) -> None:
    write(BINDING, "def create_app(config):\n    return made(config['DATABASE_URL'])")
    if text:
        write(text, name="shop.cfg")

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "shop", config="shop.cfg")


@pytest.mark.parametrize("base", BASES)
def test_the_defaults_of_the_factory_keep_their_other_values(
    write: Write, uri: str, other_uri: str, base: str
) -> None:
    write(SETTINGS, name="settings.py")
    write(FILES["shop.cfg"], name="own.cfg")
    write(FILES["shop.toml"], name="own.toml")
    write(BINDING, shop(*BASES[base]))

    subject = resolved(uri, "shop")

    assert not subject.by_environment
    assert works_on(subject, uri, other_uri)


UPDATED = "app.config.from_object(settings); app.config.update(config or {})"


@pytest.mark.parametrize(
    ("factory", "configuration"),
    [
        (shop("config=None", UPDATED), ["configuration: the factory's default"]),
        (shop(*BASES["class"]), ["configuration: Own"]),
        (shop(*BASES["mapping"]), ["configuration: the factory's default"]),
        ("def create_app(uri=None):\n    return made(uri)\n", ["configuration: the factory's default"]),
        ("def create_app(uri):\n    return made(uri)\n", []),
    ],
    ids=["mapping", "class", "mapping with values", "URI", "for the testbed"],
)
def test_the_notes_name_the_configuration_that_is_tested(
    write: Write, uri: str, factory: str, configuration: list[str]
) -> None:
    write(SETTINGS, name="settings.py")
    write(BINDING, factory)

    notes = resolved(uri, "shop").notes

    assert [note for note in notes if note.startswith("configuration: ")] == configuration


def test_the_notes_name_the_file_of_other_values(write: Write, uri: str) -> None:
    write(SETTINGS, name="settings.py")
    write(BINDING, shop("config=None", UPDATED))
    write(FILES["shop.cfg"], name="shop.cfg")

    notes = resolved(uri, "shop", config=str(Path("shop.cfg").absolute())).notes

    assert notes[-1] == "configuration: the factory's default, with the values of shop.cfg"

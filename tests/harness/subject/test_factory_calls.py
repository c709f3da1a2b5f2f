from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from tests.harness.shops import BINDING
from tests.harness.subject.resolving import Write, resolved, works_on

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "sqlite:///testbed_other.db"
# A factory for each call, by its description.
FACTORIES = {
    "with a mapping": """
        def create_app(config=None):
            app = Flask("shop")
            app.config.from_mapping(config)
            return made(app.config["DATABASE_URI"])
    """,
    "with database_url=": """
        def create_app(debug=False, *, database_url):
            return made(database_url)
    """,
    "with keyword arguments": """
        def create_app(**settings):
            return made(settings["SQLALCHEMY_DATABASE_URI"])
    """,
    "with a config class": f"""
        class Config:
            SECRET = "s"
            DATABASE_URL = "{OTHER}"

        def create_app(config_class=Config):
            assert config_class.SECRET == "s"
            app = Flask("shop")
            app.config.from_object(config_class)
            return made(app.config["DATABASE_URL"])
    """,
    "with the name of a config class": """
        def create_app(config: str = "nowhere"):
            app = Flask("shop")
            app.config.from_object(config)
            return made(app.config["DATABASE_URI"])
    """,
    "with the name of a config file": """
        def create_app(settings: str = "shop.cfg"):
            app = Flask("shop")
            app.config.from_pyfile(settings)
            return made(app.config["DATABASE_URI"])
    """,
    "with nothing but the environment": """
        import os

        def create_app():
            return made(os.environ["DATABASE_URL"])
    """,
    "with 'testing'": f"""
        import os

        class Testing:
            DATABASE_URI = os.environ.get("DATABASE_URL", "{OTHER}")

        def create_app(name):
            app = Flask("shop")
            app.config.from_object({{"testing": Testing}}[name])
            return made(app.config["DATABASE_URI"])
    """,
}


@pytest.mark.parametrize("call", FACTORIES)
def test_the_call_that_works_is_found(write: Write, uri: str, other_uri: str, call: str) -> None:
    write(BINDING, FACTORIES[call])

    subject = resolved(uri, "shop")

    assert f"made {call}" in subject.notes[-1]
    assert subject.session_path == "shop:db_session"
    assert subject.makes_several_apps
    assert works_on(subject, uri)
    assert works_on(subject, other_uri)


@pytest.mark.parametrize("key", ["SHOP_DATABASE", "SHOP.DATABASES.main"])
def test_the_user_names_the_key(write: Write, uri: str, key: str) -> None:
    path = "".join(f"[{part!r}]" for part in key.split("."))
    write(BINDING, f"def create_app(config):\n    return made(config{path})")

    assert works_on(resolved(uri, "shop", uri_key=key), uri)


def test_the_user_writes_the_call(write: Write, uri: str) -> None:
    write(
        BINDING,
        """
        import os

        def create_app(name, debug):
            assert (name, debug) == ("testing", True)
            return made(os.environ["SHOP_DATABASE"])
        """,
    )

    assert works_on(resolved(uri, "shop:create_app('testing', True)", uri_env="SHOP_DATABASE"), uri)


@pytest.mark.parametrize(
    ("parameter", "kinds"),
    [
        ("config=Config", ["type", ""]),
        ("config='shop.cfg'", ["str", "str", ""]),
        ("config={}", ["dict", ""]),
        ("config: dict[str, str] | None = None", ["dict", ""]),
        ("config: Config | None = None", ["type", ""]),
        ("config: str", ["str"] * 6),
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
                file.write(("" if default else type(given).__name__) + "\\n")
            raise RuntimeError
        """,
    )

    with pytest.raises(SubjectError):
        resolved(uri, "shop")

    assert (tmp_path / "tried").read_text().splitlines() == kinds


def test_a_failed_call_does_not_decide_the_next(write: Write, uri: str) -> None:
    write(
        BINDING,
        f"""
        apps = []

        def create_app(config=None):
            if not apps:
                apps.append(made(getattr(config, "DATABASE_URI", "{OTHER}")))
            return apps[0]
        """,
    )

    assert "with a config class" in resolved(uri, "shop").notes[-1]


def test_the_message_lists_all_calls(write: Write, uri: str) -> None:
    write(BINDING, f"def create_app(config=None):\n    return made('{OTHER}')")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop")

    first, second, third, advice = str(raised.value).splitlines()
    assert "was called in 5 ways, and none put it on the database that it was given:" in first
    configured = "with a mapping, with a config class, with the name of a config class, with the name of a"
    assert second.startswith(f"  {configured} config file: is bound to {OTHER}, not to")
    assert third.startswith(f"  with nothing but the environment: is bound to {OTHER}, not to")
    assert "--testbed-uri-key KEY, or --testbed-uri-env VARIABLE" in advice


def test_a_teardown_that_raises_is_left_to_the_checks(write: Write, uri: str) -> None:
    write(
        BINDING,
        """
        def create_app(config):
            app = made(config["DATABASE_URI"])
            app.teardown_appcontext(lambda _: 1 / 0)
            return app
        """,
    )

    assert resolved(uri, "shop").app_path == "shop:create_app"

"""The places of an app's engine, session and factory are found in its code."""

import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.places import Places, places
from flask_sqlalchemy_testbed.subject.subject import Subject

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes the modules of a project in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write_all(**modules: str) -> None:
        for name, source in modules.items():
            path = tmp_path / f"{name.replace('__', '/', 1)}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(source).lstrip())

    return write_all


def test_the_engine_the_session_and_the_factory_of_plain_sqlalchemy(write: Write) -> None:
    write(
        shop="""
            from sqlalchemy import create_engine
            from sqlalchemy.orm import scoped_session, sessionmaker

            db_session = scoped_session(sessionmaker())


            def create_app(config):
                app.extensions["engine"] = create_engine(config["DATABASE_URI"])
        """
    )

    assert places(Subject("shop:create_app", session_path="shop:db_session", modules=("shop",))) == Places(
        engine_at="shop.py:8",
        session_at="shop.py:4",
        factory_at="shop.py:7",
        engine_name="app.extensions['engine']",
        session_name="db_session",
        session_end="db_session.remove()",
        never_ended="yes",
        session_factory="sessionmaker()",
    )


@pytest.mark.parametrize(
    ("module", "call", "library", "session"),
    [
        ("flask_sqlalchemy", "db = SQLAlchemy()", "Flask-SQLAlchemy", "db.session"),
        ("flask_sqlalchemy_lite", "db = SQLAlchemy()", "Flask-SQLAlchemy-Lite", "db.session"),
        ("alchemical.flask", "db = Alchemical()", "alchemical", "db.session"),
    ],
)
def test_a_library_holds_both_in_another_module_than_the_factory(
    write: Write, module: str, call: str, library: str, session: str
) -> None:
    maker = call.removeprefix("db = ").removesuffix("()")
    write(
        shop____init__="from shop.factory import create_app\n",
        shop__models=f"from {module} import {maker}\n\n{call}\n",
        shop__factory="from shop.models import db\n\n\ndef create_app():\n    db.init_app(app)\n",
    )

    found = places(Subject("shop:create_app", modules=("shop", "shop.factory", "shop.models")))

    assert (found.library, found.session_name, found.engine_name[:3]) == (library, session, "db.")
    assert (found.engine_at, found.session_at) == ("shop/models.py:3", "shop/models.py:3")
    assert (found.factory_at, found.given_at) == ("shop/factory.py:4", "shop/factory.py:5")


def test_the_lines_that_give_the_app_to_its_library_and_return_it_are_found(write: Write) -> None:
    write(
        shop="""
            from flask_sqlalchemy import SQLAlchemy

            db = SQLAlchemy()


            def create_app():
                application = Flask("shop")
                migrate.init_app(application, db)
                if early:
                    return application
                db.init_app(application)

                @application.get("/")
                def view():
                    return application

                return application
        """
    )

    found = places(Subject("shop:create_app", modules=("shop",)))

    assert (found.given_at, found.returned_at) == ("shop.py:11", "shop.py:17")


def test_an_app_that_an_import_makes_is_given_to_its_library_where_that_is_made(write: Write) -> None:
    write(shop="from flask_sqlalchemy import SQLAlchemy\napp = Flask(__name__)\ndb = SQLAlchemy(app=app)\n")

    found = places(Subject("shop:app", modules=("shop",)))

    assert (found.given_at, found.returned_at, found.factory_at) == ("shop.py:3", "", "shop.py:2")


def test_a_session_of_sqlalchemy_beside_a_library_is_the_app_s_own(write: Write) -> None:
    write(
        shop="""
            from flask_sqlalchemy import SQLAlchemy
            from sqlalchemy.orm import scoped_session
            db = SQLAlchemy()
            session = scoped_session(maker)
            app = Flask(__name__)
        """
    )

    found = places(Subject("shop:app", session_path="shop:session", modules=("shop",)))

    assert (found.library, found.session_at, found.factory_at) == ("", "shop.py:4", "shop.py:5")


def test_an_app_whose_code_cannot_be_read_has_its_file_alone(write: Write) -> None:
    write(broken="def create_app(:\n")

    found = places(Subject("broken:create_app", modules=("broken", "no.such.module")))

    assert found == Places(factory_at="broken.py:1")


def test_the_options_of_a_library_s_engine_may_stand_in_another_call_than_its_session(write: Write) -> None:
    write(
        shop="""
            from advanced_alchemy.extensions.flask import AdvancedAlchemy, SQLAlchemySyncConfig
            config = SQLAlchemySyncConfig(connection_string=uri)
            alchemy = AdvancedAlchemy(config)
        """
    )

    found = places(Subject("shop:create_app", modules=("shop",)))

    assert (found.engine_at, found.session_at) == ("shop.py:2", "shop.py:3")
    assert found.session_name == "alchemy.get_sync_session()"


def test_uses_of_the_session_outside_contexts_are_found(write: Write) -> None:
    write(
        shop="""
            from shop_data import seed
            import setup

            db_session = scoped_session(Session := sessionmaker(autoflush=False, bind=None))
            Base.query = db_session.query_property()


            def create_app(config):
                application = Flask(__name__)
                engine = create_engine(config["DATABASE_URI"])
                db_session.configure(bind=engine)
                with application.app_context():
                    db_session.add(1)
                application.teardown_appcontext(lambda error: db_session.remove())

                @application.get("/")
                def view():
                    return db_session.scalar(1)

                db_session.execute(2)
                seed()
                setup.run(application)
                return application
        """,
        shop_data="""
            from shop import db_session


            def seed():
                db_session.add(3)
                again()


            def again():
                if not db_session.get(4):
                    seed()
        """,
        setup="""
            def run(app):
                if app.debug:
                    shop.db_session.commit()
        """,
    )

    found = places(
        Subject("shop:create_app", session_path="shop:db_session", modules=("shop", "shop_data", "setup"))
    )

    assert found.used_outside == "shop.py:20, shop_data.py:5, shop_data.py:10, setup.py:3"
    assert found.reached_from == "shop.py:20, shop.py:21, shop.py:21, shop.py:22"
    assert (found.bound_at, found.engine_at, found.app_name) == ("shop.py:11", "shop.py:10", "application")
    assert found.session_options == ", autoflush=False"


@pytest.mark.bad_day
def test_a_removal_of_the_session_before_its_first_use_is_no_use(write: Write) -> None:
    write(
        shop__database="""
            db_session = scoped_session(sessionmaker())


            def init_engine(uri):
                db_session.remove()
                return create_engine(uri)
        """,
        shop____init__="""
            from . import database


            def create_app():
                app = Flask("shop")
                database.init_engine("sqlite://")

                @app.teardown_appcontext
                def shutdown(error):
                    database.db_session.remove()

                return app
        """,
    )
    path, modules = "shop.database:db_session", ("shop", "shop.database")

    found = places(Subject("shop:create_app", session_path=path, modules=modules))

    assert (found.used_outside, found.used_early, found.removed_late) == ("", "", "")
    assert (found.removed_first, found.teardown_at) == ("shop/database.py:5", "shop/__init__.py:9")


def test_an_engine_that_an_import_makes_is_no_name_for_later_apps(write: Write) -> None:
    write(
        shop="""
            engine = create_engine("sqlite://")
            session = scoped_session(sessionmaker(bind=engine))
            app = Flask(__name__)
            session.execute(1)
        """
    )

    found = places(Subject("shop:app", session_path="shop:session", modules=("shop",)))

    assert found.engine_is_global
    assert found.used_outside == "shop.py:4"


@pytest.mark.parametrize(
    ("imported", "statement"),
    [
        ("", "from shop.db import Session"),
        ("from other import Session", "from shop.db import Session"),
        ("from .db import Session", ""),
        ("from shop.db import start, Session", ""),
    ],
)
def test_a_session_of_another_module_than_the_app_s_is_imported(
    write: Write, imported: str, statement: str
) -> None:
    write(
        shop____init__="""
            from flask import Flask

            from shop import db
            IMPORT


            def create_app(config):
                app = Flask("shop")
                db.start(config)
                return app
        """.replace("IMPORT", imported),
        shop__db="""
            from sqlalchemy.orm import scoped_session, sessionmaker

            Session = scoped_session(sessionmaker())
        """,
        shop__cli="from shop.db import Session",
    )

    found = places(
        Subject("shop:create_app", session_path="shop.cli:Session", modules=("shop", "shop.cli", "shop.db"))
    )

    assert found.session_import == statement


KEPT_IN_G = """
    from flask import g

    IMPORT


    def session():
        if "db" not in g:
            g.db = Session()
        return g.db
"""


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("path", "imported", "late"),
    [
        ("tb:session", "import shop", "yes"),
        ("tb.py:session", "from flask import Flask", ""),
        ("tb:session", "from shop import Session", "yes"),
    ],
)
def test_the_function_that_returns_the_session_is_imported_from_its_own_module(
    write: Write, path: str, imported: str, late: str
) -> None:
    write(
        shop="""
            app = Flask("shop")
            Session = sessionmaker(create_engine("sqlite://"))
        """,
        tb=KEPT_IN_G.replace("IMPORT", imported),
    )

    found = places(Subject("shop:app", session_path=path, session_is_callable=True, modules=("shop", "tb")))

    assert (found.session_import, found.session_end) == ("from tb import session", "session().close()")
    assert found.session_imports_app == late


GLOBAL_ENGINE = {
    "shop____init__": """
        from flask import Flask

        from shop import db


        def create_app(config=None):
            app = Flask("shop")
            db.init_app(app)
            return app
    """,
    "shop__db": """
        from sqlalchemy import create_engine
        from sqlalchemy.orm import scoped_session, sessionmaker

        engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///shop.db"))
        db_session = scoped_session(sessionmaker(autoflush=False, bind=engine))


        def init_db():
            Base.metadata.create_all(bind=engine)


        def other(engine):
            engine.dispose()
    """,
    "migrations__env": """
        from shop import db

        connectable = db.engine
        config.set_main_option("sqlalchemy.url", os.environ.get("DATABASE_URL", "sqlite:///shop.db"))
        other = "sqlite:///shop.db.old", "sqlite:////shop.db"
    """,
    "tests__conftest": """
        from shop.db import Base, engine as of_shop


        def app():
            Base.metadata.drop_all(of_shop)
    """,
    "scripts__unrelated": """
        from elsewhere.data import engine

        engine.dispose()
    """,
}


@pytest.mark.bad_day
def test_other_code_that_uses_the_engine_or_the_file_is_found(write: Write, tmp_path: Path) -> None:
    write(**GLOBAL_ENGINE)
    (tmp_path / "alembic.ini").write_text("[alembic]\nsqlalchemy.url = sqlite:///shop.db\n")

    found = places(Subject("shop:create_app", session_path="shop.db:db_session", modules=("shop", "shop.db")))

    assert found.engine_uses == "shop/db.py:9, migrations/env.py:3, tests/conftest.py:1, tests/conftest.py:5"
    assert found.other_uris == "alembic.ini:2, migrations/env.py:4"


@pytest.mark.bad_day
@pytest.mark.parametrize("folder", ["shop.bak", "old.2024"])
def test_a_folder_with_a_dot_in_its_name_has_no_other_code(write: Write, tmp_path: Path, folder: str) -> None:
    write(**GLOBAL_ENGINE)
    (tmp_path / folder).mkdir()
    for file in ("db.py", "__init__.py"):
        shutil.copy(tmp_path / "shop" / file, tmp_path / folder)
    shutil.copy(tmp_path / "migrations" / "env.py", tmp_path / folder)

    found = places(Subject("shop:create_app", session_path="shop.db:db_session", modules=("shop", "shop.db")))

    assert folder not in found.engine_uses + found.other_uris


@pytest.mark.bad_day
def test_other_code_that_uses_the_engine_of_the_last_app_is_found(write: Write) -> None:
    write(
        shop__db="""
            engine = None

            def init_engine(uri):
                global engine
                engine = create_engine(uri)
                db_session.configure(bind=engine)
                return engine

            def init_db():
                Base.metadata.create_all(bind=engine)
        """,
        shop____init__="""
            from shop.db import init_db, init_engine

            def create_app():
                init_engine(URI)
                init_db()
        """,
    )

    found = places(Subject("shop:create_app", modules=("shop", "shop.db")))

    assert found.engine_uses == "shop/db.py:10"


LEFT_OVER = """
    engine = None
    make_session = sessionmaker(autoflush=False)
    db_session = scoped_session(make_session)


    def init_engine(uri):
        global engine
        engine = create_engine(uri)
        make_session.configure(bind=engine)
"""


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("more", "names", "maker"),
    [
        ("", "shop.py:1, shop.py:7", "shop.py:2"),
        ("    def other():\n        return make_session()", "shop.py:1, shop.py:7", ""),
        ("    def end():\n        global engine\n        engine = None", "", "shop.py:2"),
    ],
    ids=["nothing else", "another use", "another assignment"],
)
def test_code_that_nothing_needs_after_a_change_is_found(
    write: Write, more: str, names: str, maker: str
) -> None:
    write(shop=f"{LEFT_OVER}\n\n{more}")

    found = places(Subject("shop:create_app", session_path="shop:db_session", modules=("shop",)))

    assert (found.engine_global_at, found.unused_maker_at) == (names, maker)


@pytest.mark.bad_day
def test_calls_of_functions_that_use_the_engine_are_found_outside_contexts(write: Write) -> None:
    write(
        **{
            **GLOBAL_ENGINE,
            "shop____init__": """
                from shop import db


                def create_app(config=None):
                    app = Flask("shop")

                    @app.cli.command("init-db")
                    def init_db_command():
                        db.init_db()

                    return app
            """,
            "tests__conftest": """
                from shop.db import init_db


                def app():
                    app = create_app()
                    init_db()
                    with app.app_context():
                        init_db()
                    other.init_db()
            """,
        }
    )

    found = places(Subject("shop:create_app", session_path="shop.db:db_session", modules=("shop", "shop.db")))

    assert (found.engine_uses, found.engine_calls) == (
        "shop/db.py:9, migrations/env.py:3",
        "tests/conftest.py:6",
    )


def test_the_calls_of_the_app_that_create_or_drop_tables_are_found(write: Write) -> None:
    reset = "from shop.db import Base, engine\nBase.metadata.drop_all(engine)\n"
    write(**{**GLOBAL_ENGINE, "shop__reset": reset})

    modules = ("shop", "shop.db", "shop.reset")
    found = places(Subject("shop:create_app", session_path="shop.db:db_session", modules=modules))

    assert found.defines_tables_at == "shop/db.py:9, shop/reset.py:2"
    assert found.metadata_name == "Base.metadata"


@pytest.mark.bad_day
def test_the_metadata_of_flask_sqlalchemy_s_object_is_named(write: Write) -> None:
    write(shop="db = None  # SQLAlchemy()\n\n\ndef init_db():\n    db.create_all()\n")

    assert places(Subject("shop:create_app", modules=("shop",))).metadata_name == "db.metadata"


@pytest.mark.bad_day
def test_commands_of_click_that_use_the_engine_are_found_by_themselves(write: Write) -> None:
    write(
        **{
            **GLOBAL_ENGINE,
            "shop__cli": """
                import click
                from flask.cli import with_appcontext
                from shop import db


                @click.command("init-db")
                def init_db_command():
                    db.init_db()


                @click.command("ping")
                def ping():
                    db.engine.connect()


                @click.command("in-context")
                @with_appcontext
                def in_context():
                    db.init_db()


                @click.command("script")
                def script():
                    db.init_db()


                def init_app(app):
                    for one in (ping, in_context):
                        app.cli.add_command(one)
                    app.cli.add_command(init_db_command)
                    app.cli.add_command(ping, name="ping-db")
                    app.cli.add_command(in_context)
            """,
        }
    )
    modules = ("shop", "shop.db", "shop.cli")

    found = places(Subject("shop:create_app", session_path="shop.db:db_session", modules=modules))

    assert (found.engine_commands, found.engine_calls) == ("shop/cli.py:8, shop/cli.py:13", "shop/cli.py:24")


def test_an_engine_of_the_factory_has_no_other_uses(write: Write) -> None:
    write(shop="def create_app():\n    engine = create_engine('sqlite://')\n    engine.connect()\n")

    found = places(Subject("shop:create_app", modules=("shop",)))

    assert (found.engine_uses, found.other_uris) == ("", "")


HOOKED = {
    "decorated": "@app.teardown_request\n    def close(error):\n        END",
    "blueprint": "@bp.after_app_request\n    def close(response):\n        END\n        return response",
    "lambda": "app.after_request(\n        lambda response: END or response)",
    "named": "app.teardown_request(\n        close)",
}


@pytest.mark.parametrize("end", ["remove", "close"])
@pytest.mark.parametrize("hooked", HOOKED.values(), ids=HOOKED)
def test_calls_at_the_end_of_requests_are_found(write: Write, hooked: str, end: str) -> None:
    line = 9 if "(\n        close)" in hooked else 16 if "def" in hooked else 15
    write(
        shop=f"""
from flask import Flask
from sqlalchemy.orm import scoped_session, sessionmaker

db_session = scoped_session(sessionmaker())


def close(error):
    names.remove(error)
    END


def create_app(config):
    app = Flask("shop")
    {hooked}
    return app
""".replace("END", f"db_session.{end}(), g.db.commit()")
    )

    found = places(Subject("shop:create_app", session_path="shop:db_session", modules=("shop",)))

    assert (found.removed_early, found.commit_at) == (f"shop.py:{line}",) * 2


def test_calls_elsewhere_are_none_at_the_end_of_requests(write: Write) -> None:
    write(
        shop="""
            from sqlalchemy.orm import scoped_session, sessionmaker

            db_session = scoped_session(sessionmaker())


            @app.get("/")
            def view():
                db_session.commit()


            @app.teardown_appcontext
            def close(error):
                db_session.remove()
        """
    )

    found = places(Subject("shop:app", session_path="shop:db_session", modules=("shop",)))

    assert (found.removed_early, found.commit_at) == ("", "")


TWO_HOOKS = {
    "audit": """
        def init_app(app):
            with audit_engine.begin() as connection:
                connection.execute(CREATE)

            @app.after_request
            def write(response):
                connection = audit_engine.connect()
                connection.commit()
                return response

        audit_engine = create_engine("sqlite://")
    """,
    "sessions": """
        from sqlalchemy import create_engine
        from sqlalchemy.orm import scoped_session, sessionmaker

        engine = create_engine("sqlite://")
        db_session = scoped_session(sessionmaker(bind=engine))
    """,
    "db": """
        from sessions import db_session, engine


        def init_app(app):
            Base.metadata.create_all(engine)

            @app.after_request
            def commit(response):
                COMMIT
                return response
    """,
    "shop": """
        import audit, db


        def create_app():
            db.init_app(app)
            audit.init_app(app)
    """,
}


@pytest.mark.parametrize(
    ("commit", "at"),
    [
        ("db_session.commit()", "db.py:9"),
        ("db.db_session().commit()", "db.py:9"),
        ("db_session.connection().commit()", "db.py:9"),
        ("my_db_session.commit()", "audit.py:8, db.py:9"),
    ],
)
def test_the_commit_at_the_end_of_requests_is_that_of_the_session(write: Write, commit: str, at: str) -> None:
    write(**{**TWO_HOOKS, "db": TWO_HOOKS["db"].replace("COMMIT", commit)})

    found = places(Subject("shop:create_app", session_path="sessions:db_session", modules=("audit", "db")))

    assert found.commit_at == at


def test_functions_of_one_name_that_connect_in_several_modules_are_found(write: Write) -> None:
    write(**TWO_HOOKS)

    found = places(Subject("shop:create_app", session_path="sessions:db_session", modules=("audit", "db")))

    assert found.used_early == "db.py:5, audit.py:2"


def test_a_callback_is_the_function_of_its_own_module(write: Write) -> None:
    named = "def commit(response):\n    BODY\n\n\ndef init_app(app):\n    app.after_request(commit)\n"
    write(
        **{
            **TWO_HOOKS,
            "db": named.replace("BODY", "db_session.commit()"),
            "zaudit": named.replace("BODY", "count(response)"),
        }
    )

    found = places(
        Subject("shop:create_app", session_path="sessions:db_session", modules=("audit", "db", "zaudit"))
    )

    assert found.commit_at == "db.py:2"


@pytest.mark.parametrize(
    ("parameter", "function", "called_at", "called_as"),
    [("uri", "db.init_engine", "shop/__init__.py:6", "app.engine"), ("app", "", "", "")],
)
def test_a_function_that_makes_the_engine_without_the_app_is_found(
    write: Write, parameter: str, function: str, called_at: str, called_as: str
) -> None:
    write(
        shop__db=f"def init_engine({parameter}):\n    engine = create_engine(URI, echo=True)\n",
        shop____init__="""
            from flask import Flask
            from shop import db

            def create_app():
                app = Flask(__name__)
                app.engine = db.init_engine(app.config["URI"])
                return app
        """,
    )

    found = places(Subject("shop:create_app", modules=("shop", "shop.db")))

    assert (found.engine_function, found.engine_called_at) == (function, called_at)
    assert found.engine_called_as == called_as
    assert found.engine_arguments == "echo"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("uri, echo=True, pool_pre_ping=False", "echo, pool_pre_ping"),
        ("uri, **{'pool_pre_ping': False}", "pool_pre_ping"),
        ("uri, **dict(pool_pre_ping=False)", "pool_pre_ping"),
        ("uri, connect_args={'timeout': 3}, **options", "connect_args, timeout"),
    ],
)
def test_the_arguments_of_the_engine_are_found(write: Write, arguments: str, names: str) -> None:
    write(shop=f"engine = create_engine({arguments})\napp = Flask(__name__)\n")

    assert places(Subject("shop:app", modules=("shop",))).engine_arguments == names


@pytest.mark.parametrize(
    "end",
    [
        "app.teardown_appcontext(lambda error: db_session.remove())",
        "app.teardown_appcontext(db.Session.remove)",
        "g.db.close()",
        "with db_session() as session:\n    session.commit()",
    ],
)
def test_code_that_may_end_the_session_is_found(write: Write, end: str) -> None:
    write(shop=f"db_session = scoped_session(sessionmaker())\nnames.remove('Ada')\nfile.close()\n{end}\n")

    assert places(Subject("shop:app", session_path="shop:db_session", modules=("shop",))).never_ended == ""


def test_a_session_that_no_code_ends_is_found(write: Write) -> None:
    write(shop="db_session = scoped_session(sessionmaker())\nnames.remove('Ada')\nfile.close()\n")

    assert places(Subject("shop:app", session_path="shop:db_session", modules=("shop",))).never_ended == "yes"

from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.places import places
from tests.harness.shops import FACTORY
from tests.harness.subject.resolving import Write, resolved, works_on

INIT_APP = """
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy({options})

    def create_app(config):
        app = Flask("shop")
        app.config.from_mapping(config)
        db.init_app(app)
        return app
"""
SESSIONS = """
    from flask import g
    from sqlalchemy.orm import sessionmaker

    maker = sessionmaker()
    other_session = scoped_session(maker)

    def kept():
        return g.setdefault("session", make_session())

    def make_session():
        return Session(current_app.extensions["engine"])

    def nothing():
        pass

    def raises():
        1 / 0
"""


@pytest.mark.parametrize(
    ("package", "options"), [("flask_sqlalchemy", "model_class=Base"), ("flask_sqlalchemy_lite", "")]
)
def test_an_extension_keeps_the_session(write: Write, uri: str, package: str, options: str) -> None:
    imports = "from flask import Flask\nfrom sqlalchemy.orm import DeclarativeBase\n"
    write(imports, f"from {package} import SQLAlchemy", INIT_APP.format(options=options))

    subject = resolved(uri, "shop")

    assert "session in app.extensions['sqlalchemy']" in subject.notes
    assert works_on(subject, uri)


WITHOUT_SESSION = """
    from flask import Flask, current_app
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session, scoped_session

    def made(uri):
        app = Flask("shop")
        app.extensions["engine"] = create_engine(uri)
        return app
"""
KEPT_IN_A_CONTEXT = """
    from flask import g

    class Database:
        @property
        def session(self):
            if "session" not in g:
                g.session = Session(current_app.extensions["engine"])
            return g.session

    db = Database()

    def create_app(config=None):
        app = made(config["DATABASE_URI"])
        app.teardown_appcontext(lambda _: g.pop("session").close() if "session" in g else None)
        return app
"""
MADE_BY_THE_FACTORY = """
    from sqlalchemy.orm import sessionmaker

    later = None

    def create_app(config=None):
        global later
        app = made(config["DATABASE_URI"])
        later = scoped_session(sessionmaker(app.extensions["engine"]))
        app.teardown_appcontext(lambda _: later.remove())
        return app
"""


@pytest.mark.parametrize("session", ["", "shop:db.session"])
def test_a_property_may_be_the_session_of_the_context(write: Write, uri: str, session: str) -> None:
    write(WITHOUT_SESSION, KEPT_IN_A_CONTEXT)

    subject = resolved(uri, "shop", session)

    assert subject.session_path == "shop:db.session"
    assert works_on(subject, uri)


@pytest.mark.parametrize("session", ["", "shop:later"])
def test_the_factory_may_make_the_session(write: Write, uri: str, session: str) -> None:
    write(WITHOUT_SESSION, MADE_BY_THE_FACTORY)

    subject = resolved(uri, "shop", session)

    assert subject.session_path == "shop:later"
    assert works_on(subject, uri)


def test_a_function_of_the_user_may_make_an_app_whose_session_needs_a_context(write: Write, uri: str) -> None:
    write(WITHOUT_SESSION, KEPT_IN_A_CONTEXT)
    write("import shop\ndef app_for(uri):\n    return shop.create_app({'DATABASE_URI': uri})", name="own.py")

    subject = resolved(uri, "own.py:app_for", "shop:db.session")

    assert works_on(subject, uri)


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("read", "error"), [("1 / 0", "ZeroDivisionError: division by zero"), ("g.db", "AttributeError: db")]
)
def test_a_property_that_raises_is_named_with_its_error(
    write: Write, uri: str, read: str, error: str
) -> None:
    database = f"class Database:\n    session = property(lambda _: {read})\n"
    write("from flask import g", database, "db = Database()", name="own.py")
    write(FACTORY, "from own import db")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop", "shop:db.session")

    assert str(raised.value) == (
        f"--testbed-session 'shop:db.session': reading 'session' raised {error}, at own.py:3. It was read in"
        " an app context without a request. Name a callable that returns the session of the context."
    )


def test_a_callable_may_return_the_session(write: Write, uri: str) -> None:
    write(FACTORY, SESSIONS)

    assert works_on(resolved(uri, "shop", "shop:kept"), uri)


@pytest.mark.parametrize(
    ("session", "complaint"),
    [
        ("shop:make_session", r"returned another one at each call"),
        ("shop:maker", r"returned another one at each call"),
        ("shop:nothing", r"returned a NoneType"),
        ("shop:raises", r"raised ZeroDivisionError when called"),
        ("shop:Session", r"is not a session: a Session has no get_bind and execute"),
        ("shop:BINDINGS", r"has no 'BINDINGS'"),
        ("shop.db", r"is not of the form module:attribute"),
        ("", r"several sessions: shop:db_session, shop:other_session\. .*: --testbed-session"),
    ],
)
def test_an_unusable_session_is_refused(write: Write, uri: str, session: str, complaint: str) -> None:
    write(FACTORY, SESSIONS)

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "shop", session)


@pytest.mark.bad_day
def test_a_session_of_flask_is_refused_in_one_sentence(write: Write, uri: str) -> None:
    write(FACTORY, "from flask import session")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop", session="shop:session")

    assert str(raised.value) == (
        "--testbed-session 'shop:session' is not a session of SQLAlchemy: reading its attributes raised"
        " RuntimeError. Name a scoped_session, or a callable that returns the session of the context."
    )


@pytest.mark.bad_day
def test_an_app_whose_session_is_not_found_may_name_a_function(write: Write, uri: str) -> None:
    write("from flask import Flask", "app = Flask('shop')")

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop:app")

    assert (
        " hold no scoped_session. Name the session, or a function that returns it, such as one that returns"
        " g.db: --testbed-session myapp.db:get_db."
    ) in str(raised.value)


@pytest.mark.bad_day
def test_a_session_that_only_requests_have_is_refused_with_its_line_and_a_remedy(
    write: Write, uri: str
) -> None:
    write(
        FACTORY,
        """
        from flask import g

        def kept():
            return g.db
        """,
    )
    line = Path("shop.py").read_text(encoding="utf-8").splitlines().index("    return g.db") + 1

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop", session="shop:kept")

    assert str(raised.value) == (
        "--testbed-session 'shop:kept' raised AttributeError when called in an app context without a request,"
        f" in shop.py:{line}: db. The session must exist in such a context, too: have the function open it"
        ' when it is first asked for, such as with `if "db" not in g: g.db = Session()`.'
    )


def test_the_header_names_the_session_of_the_option(write: Write, uri: str) -> None:
    write(FACTORY)

    assert "session shop:db_session" in resolved(uri, "shop", session="shop:db_session").notes


@pytest.mark.bad_day
@pytest.mark.parametrize("more", ["", "import os\nos.environ.get('DATABASE_URL', 'sqlite:///shop.db')"])
def test_a_mistyped_attribute_is_said_once_with_the_close_name(write: Write, uri: str, more: str) -> None:
    write(FACTORY, more)

    with pytest.raises(SubjectError) as raised:
        resolved(uri, "shop:create_ap")

    assert str(raised.value) == (
        "--testbed-app 'shop:create_ap': 'shop' has no 'create_ap'. Did you mean create_app?"
    )


@pytest.mark.bad_day
@pytest.mark.parametrize("package", ["flask_sqlalchemy", "flask_sqlalchemy_lite"])
def test_an_extension_that_is_not_registered_is_named(write: Write, uri: str, package: str) -> None:
    factory = INIT_APP.format(options="").replace("db.init_app(app)", "pass")
    imports = "from flask import Flask\nfrom sqlalchemy.orm import DeclarativeBase\n"
    write(imports, f"from {package} import SQLAlchemy", factory)

    with pytest.raises(
        SubjectError, match=r"^shop:db is not registered with the app\. Call its init_app\(app\)"
    ):
        resolved(uri, "shop")


OWN_EXTENSION = """
    from flask import g

    class Database:
        def init_app(self, app):
            pass

        session = property(lambda _: READ)

    db = Database()

    def create_app(config):
        app = made(config["DATABASE_URI"])
        db.init_app(app)
        return app
"""


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        ("g.db", r"raised an error in an app context without a request, at shop.py:\d+: AttributeError: db"),
        ("g.get('db')", "is no session in an app context without a request: it is of the type NoneType"),
        ("Session()", "is another session each time that it is read"),
    ],
)
def test_an_own_extension_without_a_session_in_a_plain_context_is_named(
    write: Write, uri: str, read: str, complaint: str
) -> None:
    write(WITHOUT_SESSION, OWN_EXTENSION.replace("READ", read))

    with pytest.raises(
        SubjectError,
        match=rf"^shop:db\.session {complaint}\. Name a callable that returns the session of the context:"
        r" --testbed-session module:function\.$",
    ):
        resolved(uri, "shop")


@pytest.mark.bad_day
def test_an_app_with_a_session_for_each_block_is_referred_to_the_fixtures(write: Write, uri: str) -> None:
    write(WITHOUT_SESSION, "def create_app(config):\n    return made(config['DATABASE_URI'])")

    with pytest.raises(SubjectError, match="a session for each block: for it, write tests with the fixtures"):
        resolved(uri, "shop")


def test_the_session_is_named_in_the_module_that_defines_it(write: Write, uri: str) -> None:
    write(
        """
        from flask import Flask
        from . import auth, db

        def create_app(config):
            app = Flask("shop")
            db.start(config["DATABASE_URI"])
            return app
        """,
        name="shop/__init__.py",
    )
    write("from .db import *\nfrom .db import db_session", name="shop/auth.py")
    write(
        """
        from sqlalchemy import create_engine
        from sqlalchemy.orm import scoped_session, sessionmaker
        db_session = scoped_session(sessionmaker())

        def start(uri):
            db_session.configure(bind=create_engine(uri))
        """,
        name="shop/db.py",
    )

    assert resolved(uri, "shop").session_path == "shop.db:db_session"


def test_the_engine_of_the_session_is_told_from_another(write: Write, uri: str) -> None:
    write("from sqlalchemy import create_engine", "engine = create_engine('sqlite://')", name="audit.py")
    write(
        """
        import os
        import audit
        from flask import Flask
        from engines import own
        from sqlalchemy.orm import scoped_session, sessionmaker

        db_session = scoped_session(sessionmaker(bind=own))

        def create_app():
            return Flask("shop")
        """
    )
    write(
        """
        import os
        from sqlalchemy import create_engine

        own = create_engine(
            os.environ["DATABASE_URL"], pool_size=1
        )
        """,
        name="engines.py",
    )

    subject = resolved(uri, "shop")

    assert subject.engine_at == "engines.py:5"
    assert places(subject).engine_at == "engines.py:5"
    assert places(subject).engine_uses == "shop.py:5"

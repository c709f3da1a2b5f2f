import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
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
        ("", r"several scoped_sessions: shop:db_session, shop:other_session\. .*: --testbed-session"),
    ],
)
def test_an_unusable_session_is_refused(write: Write, uri: str, session: str, complaint: str) -> None:
    write(FACTORY, SESSIONS)

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "shop", session)

from __future__ import annotations

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from tests.harness.shops import FACTORY
from tests.harness.subject.resolving import Write, resolved, works_on

INIT_APP = """
    def create_app(config):
        app = Flask("shop")
        app.config.from_mapping(config)
        db.init_app(app)
        return app
"""
EXTENSIONS = {
    "flask_sqlalchemy": """
        from sqlalchemy.orm import DeclarativeBase

        class Base(DeclarativeBase):
            pass

        db = SQLAlchemy(model_class=Base)
    """,
    "flask_sqlalchemy_lite": "db = SQLAlchemy()",
}


@pytest.mark.parametrize("package", EXTENSIONS)
def test_an_extension_keeps_the_session(write: Write, uri: str, package: str) -> None:
    imports = f"from flask import Flask\nfrom {package} import SQLAlchemy"
    write(imports, EXTENSIONS[package], INIT_APP)

    subject = resolved(uri, "shop")

    assert "session in app.extensions['sqlalchemy']" in subject.notes
    assert works_on(subject, uri)


def test_a_callable_may_return_the_session(write: Write, uri: str) -> None:
    write(
        FACTORY,
        """
        from flask import g

        def get_session():
            if "session" not in g:
                g.session = Session(current_app.extensions["engine"])
            return g.session
        """,
    )

    assert works_on(resolved(uri, "shop", "shop:get_session"), uri)


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
    write(
        FACTORY,
        """
        from sqlalchemy.orm import sessionmaker

        maker = sessionmaker()
        other_session = scoped_session(maker)

        def make_session():
            return Session(current_app.extensions["engine"])

        def nothing():
            pass

        def raises():
            1 / 0
        """,
    )

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "shop", session)

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from tests.harness.shops import FACTORY
from tests.harness.subject.resolving import Write, resolved


@pytest.mark.parametrize("name", ["wsgi.py", "app.py", "app/__init__.py"])
def test_an_app_is_found_where_flask_finds_it(write: Write, uri: str, name: str) -> None:
    write(FACTORY, name=name)

    subject = resolved(uri)

    assert subject.app_path == f"{name.partition('.')[0].partition('/')[0]}:create_app"
    assert subject.notes[0] == f"found in {name}, where flask looks too"


@pytest.mark.parametrize("value", ["shop", "shop:create_app", "shop.py", "shop.py:create_app"])
def test_flask_app_names_the_app(write: Write, uri: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(FACTORY)
    monkeypatch.setenv("FLASK_APP", value)

    assert resolved(uri).app_path == "shop:create_app"


def test_a_factory_is_preferred_to_an_app(write: Write, uri: str) -> None:
    write(FACTORY, 'app = create_app({"DATABASE_URI": "sqlite://"})')

    assert resolved(uri, "shop").app_path == "shop:create_app"


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("", r"FLASK_APP is not set, and neither wsgi\.py nor app\.py is in "),
        ("nowhere", r"importing 'nowhere' raised ModuleNotFoundError"),
        ("nowhere.py", r"there is no file 'nowhere\.py'"),
        ("shop:nothing", r"'shop' has no 'nothing'"),
        ("shop:create app", r"is not of the form module:attribute"),
        ("shop:create_app(name)", r"the arguments are not plain values"),
        ("shop:number", r"is neither a factory nor an app"),
        ("shop:wrong", r"is not a factory of Flask apps: it returned a int"),
        ("shop:leaves", r"raised SystemExit"),
        ("shop:demanding", r"has required arguments that cannot be guessed"),
        ("empty", r"the module has no create_app or make_app, and no app\. Name the app"),
        ("several", r"and several apps \(one, two\)"),
        ("broken", r"importing 'broken' raised ZeroDivisionError: division by zero"),
    ],
)
def test_an_unusable_app_is_refused(write: Write, uri: str, app: str, complaint: str) -> None:
    write(
        "import sys\nnumber, wrong, demanding = 1, lambda: 1, lambda one, two: 1\nleaves = lambda: sys.exit()"
    )
    write("", name="empty.py")
    write("from flask import Flask\none, two = Flask('one'), Flask('two')", name="several.py")
    write("1 / 0", name="broken.py")

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, app)

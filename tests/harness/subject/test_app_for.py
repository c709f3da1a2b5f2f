"""A function that the user wrote for the testbed: its only required parameter is the URI."""

from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES, Apps
from tests.harness.shops import BINDING
from tests.harness.subject.resolving import Write, resolved, works_on

NOTED = f"""
import os
with open("noted", "a") as file:
    print("import", *set({URI_VARIABLES}) & os.environ.keys(), file=file)


def app_for(uri, config=None):
    with open("noted", "a") as file:
        print("call", config, *set({URI_VARIABLES}) & os.environ.keys(), file=file)
    return made(uri)
"""


def test_it_gets_the_uri_and_nothing_else_is_tried(write: Write, uri: str, other_uri: str) -> None:
    write(BINDING, NOTED, name="testbed_app.py")

    subject = resolved(uri, "testbed_app.py:app_for")

    assert Path("noted").read_text().splitlines() == ["import", "call None", "call None"]
    assert subject.apps is Apps.SEVERAL
    assert works_on(subject, uri, other_uri)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("apps or apps.append(made(uri)); return apps[0]", "its second app on the database of the first"),
        ("assert not apps, 'once'; apps.append(made(uri)); return apps[0]", "AssertionError: once"),
        (
            "apps.append(made(uri)); apps[0].extensions.update(apps[-1].extensions); return apps[-1]",
            "the second app of the function changed the database of the first",
        ),
    ],
)
def test_apps_that_depend_on_each_other_get_a_process_each(
    write: Write, uri: str, body: str, reason: str
) -> None:
    write(BINDING, f"apps = []\ndef app_for(uri):\n    {body}", name="testbed_app.py")

    subject = resolved(uri, "testbed_app.py:app_for")

    assert subject.apps is Apps.ONE_PER_PROCESS
    assert reason in subject.why_not_several


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"uri_env": "SHOP"}, "--testbed-uri-env SHOP has no effect"),
        ({"uri_key": "SHOP"}, "--testbed-uri-key SHOP has no effect"),
        ({"config": "shop.cfg"}, "--testbed-config shop.cfg has no effect"),
    ],
)
def test_an_option_that_it_would_not_see_is_refused(
    write: Write, uri: str, options: dict[str, str], complaint: str
) -> None:
    write(BINDING, NOTED, name="testbed_app.py")
    write("", name="shop.cfg")

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "testbed_app.py:app_for", **options)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "return made('sqlite:///testbed_other.db')",
            r"not to the database that it was given in its parameter uri\.$",
        ),
        ("raise KeyError('x')", r"raised KeyError when called with uri=: 'x'$"),
    ],
)
def test_a_function_that_fails_is_one_sentence(write: Write, uri: str, body: str, complaint: str) -> None:
    write(BINDING, "import os\nos.environ.get('DB_HOST')", f"def app_for(uri):\n    {body}", name="own.py")

    with pytest.raises(SubjectError, match=complaint):
        resolved(uri, "own.py:app_for")


def test_a_failed_import_is_not_repeated(write: Write, uri: str) -> None:
    noted = "import os\nwith open('noted', 'a') as file:\n    file.write('.')"
    fails = "raise RuntimeError(os.environ.get('DATABASE_URL'))"
    write(noted, "def app_for(uri):\n    pass", fails, name="testbed_app.py")

    with pytest.raises(SubjectError, match="raised RuntimeError: None"):
        resolved(uri, "testbed_app.py:app_for")

    assert Path("noted").read_text() == "."

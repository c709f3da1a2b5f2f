"""How many apps one process can make."""

import contextlib
import sys

import pytest

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.subject import Apps
from tests.harness.shops import BINDING
from tests.harness.subject.resolving import Write, resolved, works_on

# As a metric that is registered already.
ONCE = "import sys\nassert not getattr(sys, 'shop_is_there', 0), 'twice'\nsys.shop_is_there = True\n"
READS = "import os\nURI = os.environ.get('DATABASE_URL', 'sqlite:///testbed_other.db')\n"
# As a blueprint that is registered already.
REFUSES = "called = []\ndef create_app(config=None):\n    assert not called, 'once'; called.append(1)\n"
SHOPS = {
    "factory": ("def create_app(config):\n    return made(config['DATABASE_URI'])", "", Apps.SEVERAL, ""),
    "URI of the import": (
        READS + "def create_app():\n    return made(URI)",
        "",
        Apps.ONE_AT_A_TIME,
        "the app reads the URI when its modules are imported",
    ),
    "URI of the call": (
        f"import os\ndef create_app():\n    {READS.splitlines()[1]}\n    return made(URI)",
        "",
        Apps.SEVERAL,
        "",
    ),
    "ignored URI": (
        "uris = []\ndef create_app(config):\n    uris.append(config['DATABASE_URI']); return made(uris[0])",
        "",
        Apps.SEVERAL,
        "",
    ),
    "factory that works once": (
        REFUSES + "    return made(config['DATABASE_URI'])",
        "",
        Apps.ONE_AT_A_TIME,
        "its second call raised AssertionError: once",
    ),
    "app": (READS + "app = made(URI)", "", Apps.ONE_AT_A_TIME, "the app is made when its module is imported"),
    "app of a module that is imported once": (
        ONCE + READS + "app = made(URI)",
        "",
        Apps.ONE_PER_PROCESS,
        "the app is made when its module is imported",
    ),
    "module that the factory imports": (
        READS + "def create_app():\n    import metrics\n    return made(URI)",
        ONCE,
        Apps.ONE_PER_PROCESS,
        "the app reads the URI when its modules are imported",
    ),
}


@pytest.mark.parametrize("shop", SHOPS)
def test_the_number_of_apps_is_found_before_any_check(
    write: Write, uri: str, other_uri: str, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "shop_is_there", False, raising=False)
    source, metrics, apps, reason = SHOPS[shop]
    write(BINDING, source)
    write(metrics, name="metrics.py")

    subject = resolved(uri, "shop")

    assert subject.apps is apps
    assert subject.why_not_several.startswith(reason) or reason in subject.why_not_several
    assert bool(subject.why_not_several) == bool(reason)
    if apps is Apps.ONE_AT_A_TIME:
        assert works_on(subject, uri, other_uri)


def test_an_app_in_an_environment_variable_is_told_that_its_factory_takes_a_configuration(
    write: Write, uri: str
) -> None:
    write(
        BINDING,
        READS + "def create_app(config=None):\n    return made((config or {}).get('DATABASE_URI', URI))",
    )

    one, several = resolved(uri, "shop", uri_env="DATABASE_URL"), resolved(uri, "shop")

    assert one.why_not_several.endswith(
        "; the factory can also be called with a mapping: leave out --testbed-uri-env, and several apps"
        " may be tested"
    )
    assert several.apps is Apps.SEVERAL


@pytest.mark.bad_day
def test_an_app_without_a_factory_is_not_told_of_one(write: Write, uri: str) -> None:
    write(BINDING, READS + "app = made(URI)")

    subject = resolved(uri, "shop:app", uri_env="DATABASE_URL")

    assert subject.why_not_several.endswith("there is no factory of several apps")


@pytest.mark.bad_day
def test_a_session_that_hangs_when_the_app_is_made_keeps_no_process_alive(write: Write, uri: str) -> None:
    notes = "daemons.append(threading.current_thread().daemon) or Session"
    write("import threading\ndaemons = []", BINDING.replace("Session(", f"({notes})("), SHOPS["factory"][0])
    with contextlib.closing(AppMaker(resolved(uri, "shop"))) as maker:
        maker.start(uri)
        maker.make(uri)

    assert sys.modules["shop"].daemons[-1]


def test_a_thread_that_each_app_starts_is_noted(write: Write, uri: str) -> None:
    starts = "threading.Thread(target=ended.wait, args=(20,), name='heartbeat', daemon=True).start()"
    factory = f"def create_app(config):\n    {starts}\n    return made(config['DATABASE_URI'])"
    write(BINDING, "import threading\nended = threading.Event()", factory)

    notes = resolved(uri, "shop").notes

    assert notes[-1] == (
        "each app starts threads that outlive its check, so make it without them if they use the"
        " database: 'heartbeat'"
    )

"""Apps that do something with each request: past it, or one sentence before any check."""

import json
import re

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.servers.given import variable
from tests.harness.projects import Outcome, Project
from tests.harness.shops import FACTORY, WITHOUT_REMOVE

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app")
# Each sends requests in another way, or reads another part of the answers.
OF_REQUESTS = (
    *("lifecycle.request-ends", "lifecycle.failed-request-ends", "lifecycle.exit"),
    *("lifecycle.async-view", "lifecycle.with-client", "lifecycle.error-handler", "lifecycle.handled-error"),
    *(
        "lifecycle.used-in-teardown",
        "lifecycle.session-options",
        "lifecycle.request-inside-context",
        "binding.two-apps",
    ),
    *("binding.starts-without-its-database", "isolation.committed-rows-go", "faults.lost-in-transaction"),
)
# Correct in each check above.
BINDING = """
import os
import weakref
from contextvars import copy_context
from flask import Flask, Response, abort, current_app, g, json, redirect, request, session
from flask.globals import app_ctx
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session, scoped_session
from werkzeug.wsgi import ClosingIterator

db_session = scoped_session(
    lambda: Session(current_app.extensions["engine"]), scopefunc=lambda: app_ctx._get_current_object()
)
engines = weakref.WeakSet()
os.register_at_fork(after_in_child=lambda: [engine.dispose(close=False) for engine in engines])


def made(config, kind=Flask, **options):
    app = kind("shop", **options)
    app.config.from_mapping(config, SECRET_KEY="of the tests")
    engine = create_engine(app.config["DATABASE_URI"], pool_pre_ping=True)
    engines.add(engine)
    app.extensions["engine"] = engine
    teardown = app.do_teardown_appcontext

    def do_teardown_appcontext(*arguments):
        try:
            teardown(*arguments)
        finally:
            db_session.remove()

    app.do_teardown_appcontext = do_teardown_appcontext
    wsgi_app = app.wsgi_app

    def in_its_context(*arguments):
        context = copy_context()
        body = context.run(wsgi_app, *arguments)
        chunks = iter(body)
        # Flask 3.0 leaves the context of `stream_with_context` at the end of the stream.
        stream = iter(lambda: context.run(next, chunks, None), None)
        return ClosingIterator(stream, lambda: context.run(getattr(body, "close", lambda: None)))

    app.wsgi_app = in_its_context
    return app
"""
# Not applicable to files.
ON_OWN_SERVER = ("faults.restart", "faults.demoted-primary")
# Those whose requests to forked workers differ.
FORKED = ("wrapped responses", "a server name", "no GET")
APPS = {
    "an HTTPS redirect": """
def create_app(config):
    app = made(config)

    @app.before_request
    def https():
        if not request.is_secure:
            return redirect(request.url.replace("http://", "https://", 1), 301)

    return app
""",
    "wrapped responses": """
class Api(Flask):
    def make_response(self, rv):
        if isinstance(rv, (list, dict, str)):
            rv = Response(json.dumps({"data": rv}), mimetype="application/json")
        return super().make_response(rv)


def create_app(config):
    return made(config, Api)
""",
    "a token against forgery": """
def create_app(config):
    app = made(config)
    app.config.setdefault("WTF_CSRF_ENABLED", True)

    @app.before_request
    def protect():
        if app.config["WTF_CSRF_ENABLED"]:
            abort(400, "The CSRF token is missing.")

    return app
""",
    "a commit on success": """
def create_app(config):
    app = made(config)

    @app.after_request
    def commit(response):
        if response.status_code < 400:
            db_session.commit()
        return response

    return app
""",
    "a server name": """
def create_app(config):
    app = made(config, subdomain_matching=True)
    app.config.update(
        SERVER_NAME="shop.example:5000",
        PREFERRED_URL_SCHEME="https",
        TRUSTED_HOSTS=["shop.example:5000", "shop.example"],
    )
    return app
""",
    "trusted hosts": """
def create_app(config):
    app = made(config)
    app.config.update(TRUSTED_HOSTS=[".shop.example"])

    @app.before_request
    def check():
        if not request.host.endswith("shop.example"):
            abort(400)

    return app
""",
    "host matching": """
def create_app(config):
    app = made(config, host_matching=True, static_host="static.example")
    app.add_url_rule("/", "index", lambda: "index", host="www.example")
    return app
""",
    "a root that a middleware takes off": """
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

def create_app(config):
    app = made(config)
    app.config["APPLICATION_ROOT"] = "/shop"
    app.wsgi_app = DispatcherMiddleware(NotFound(), {"/shop": app.wsgi_app})
    return app
""",
    "pages of its own for errors": """
def create_app(config):
    app = made(config)
    app.register_error_handler(404, lambda _: redirect("/"))
    app.register_error_handler(Exception, lambda _: {"ok": False})
    app.add_url_rule("/<path:page>", "page", lambda page: f"the page {page}")
    return app
""",
    "a limit of requests by client": """
def create_app(config):
    app, seen = made(config), {}
    app.config["MAX_CONTENT_LENGTH"] = 1

    @app.before_request
    def limit():
        seen[request.remote_addr] = seen.get(request.remote_addr, 0) + 1
        if seen[request.remote_addr] > 1:
            abort(429)

    return app
""",
    "one client": """
def create_app(config):
    app = made(config)

    @app.before_request
    def inside():
        if request.remote_addr != "127.0.0.1":
            abort(403)

    return app
""",
    "no GET": """
def create_app(config):
    app = made(config)

    @app.before_request
    def only_calls():
        if request.method != "POST":
            abort(405)

    return app
""",
    "other statuses and bodies": """
def create_app(config):
    app = made(config)

    @app.after_request
    def seal(response):
        if response.status_code == 200 and not response.is_streamed:
            response.status_code = 202
            response.set_data(b"sealed")
        return response

    return app
""",
}
LOGIN = """
def create_app(config):
    app = made(config)

    @app.get("/login")
    def login():
        session["user"] = 1
        return "welcome"

    @app.before_request
    def only_who_is_logged_in():
        if request.endpoint != "login" and "user" not in session:
            return redirect("/login")

    return app
"""


FAILING_LOGINS = """
    @app.post("/login/refused")
    def refused():
        abort(403)

    @app.get("/login/broken")
    def broken():
        raise AttributeError("no audit")

    @app.get("/login/blocked")
    def blocked():
        Event().wait()

    return app
"""
TABLES_ON_IMPORT = """
import os

from flask import Flask, redirect, request, session
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.secret_key = "of the tests"
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)


class Visit(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    path = db.Column(db.String(200))


with app.app_context():
    db.create_all()


@app.before_request
def only_who_is_logged_in():
    if request.path != "/login" and "user" not in session:
        return redirect("/login")


@app.teardown_request
def count_visit(error):
    db.session.add(Visit(path=request.path))
    db.session.commit()


@app.post("/login")
def login():
    session["user"] = 1
    return "welcome"
"""
SESSION_OF_MODULE = """
import os

from flask import Flask
from flask.globals import app_ctx
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

engine = create_engine(os.environ["DATABASE_URL"])
db_session = scoped_session(sessionmaker(engine), scopefunc=app_ctx._get_current_object)


def create_app():
    app = Flask(__name__)
    app.teardown_appcontext(lambda _: db_session.remove())
    app.add_url_rule("/login", view_func=lambda: "welcome", endpoint="login")
    return app
"""
COMMITS_CONTEXTS = """
def create_app(config):
    app = made(config)

    @app.teardown_appcontext
    def commit(error):
        if error is None:
            db_session.commit()

    return app
"""
PRINTS = """
def create_app(config):
    app = made(config)

    @app.teardown_appcontext
    def end(error):
        print("context ended")

    return app
"""
OWN_HANDLING = """
class Calm(Flask):
    def handle_user_exception(self, error):
        return self.make_response({"problem": str(error)})


def create_app(config):
    return made(config, Calm)
"""
USERS = """
from flask import Flask, abort, g, request, session
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)


def create_app(config=None):
    app = Flask("shop")
    app.config.update(config, SECRET_KEY="of the tests")
    db.init_app(app)

    @app.get("/login/<int:user>")
    def login(user):
        session["user"] = user
        return "welcome"

    @app.before_request
    def load():
        g.user = db.session.get(User, session.get("user", 0))
        HOOK

    return app
"""
# Their values cannot be inserted as they are read.
SPECIAL_COLUMNS = """
    id = db.Column(db.Integer, db.Identity(always=True), primary_key=True)
    friend_id = db.Column(db.ForeignKey("user.id"))
    of_json = db.Column(db.JSON)
    no_json = db.Column(db.JSON(none_as_null=True))
    one = db.Column(db.Integer, default=1)
    two = db.Column(db.Integer, db.Computed("one + one"))
""".strip()
SENTENCE = (
    "The app cannot be tried on sqlite: its first request was answered with 302 FOUND to /login:"
    " shop.only_who_is_logged_in (shop.py, line 55) answered it before the view. If it wants a login, name a"
    " function that logs a client in: --testbed-as-user module:function (called with the app and a"
    " test client)."
)


def check(
    project: Project, *options: str, checks: tuple[str, ...] = OF_REQUESTS, **environment: str
) -> Outcome:
    chosen = [word for name in checks for word in ("--testbed-check", name)]
    return project.run(*BATTERY, *chosen, *options, **environment)


@pytest.mark.parametrize("app", APPS)
def test_an_app_may_do_this_with_requests(project_on_one: Project, app: str) -> None:
    project_on_one.write(BINDING + APPS[app], "shop.py")

    outcome = check(project_on_one, checks=(*OF_REQUESTS, *["binding.fork"] * (app in FORKED)))

    assert outcome.code == 0, outcome.text


def test_an_app_may_commit_at_the_end_of_each_context(project_here: Project) -> None:
    project_here.write(BINDING + COMMITS_CONTEXTS, "shop.py")
    claims = ("request-ends", "context-ends", "thread", "cli-command", "request-inside-context", "exit")

    outcome = check(project_here, checks=tuple(f"lifecycle.{claim}" for claim in claims))

    assert outcome.code == 0, outcome.text


def test_an_app_may_print_at_the_end_of_each_context(project_on_one: Project) -> None:
    project_on_one.write(BINDING + PRINTS, "shop.py")

    outcome = check(project_on_one, checks=("lifecycle.cli-command",))

    assert outcome.code == 0, outcome.text


def test_a_check_whose_claim_cannot_be_observed_is_not_applicable(project: Project) -> None:
    project.write(BINDING + OWN_HANDLING, "shop.py")

    outcome = check(
        project,
        "--testbed-matrix",
        "matrix.json",
        checks=("lifecycle.handled-error", "lifecycle.request-ends"),
    )

    reason = "the app answers errors of views itself, with 200 OK, and calls no error handler"
    assert outcome.code == 0, outcome.text
    assert outcome.lines("not applicable") == [f"not applicable: 1 test ({reason})"]
    assert "1 passed, 1 not applicable" in outcome.text
    rows = json.loads((project.path / "matrix.json").read_text())["checks"]
    (row,) = (row for row in rows if row["id"] == "lifecycle.handled-error")
    assert (row["results"], row["reasons"]) == ({"sqlite": "not applicable"}, {"sqlite": reason})


def test_an_app_whose_hooks_read_its_own_tables_is_tried(project_here: Project) -> None:
    project_here.write(USERS.replace("HOOK", ""), "shop.py")

    outcome = check(project_here, checks=("lifecycle.request-ends", "faults.pool-exhausted"))

    assert outcome.code == 0, outcome.text


def test_an_app_that_wants_a_login_is_one_sentence(project: Project) -> None:
    project.write(BINDING + LOGIN, "shop.py")

    outcome = check(project, "--testbed-report", "report")

    assert outcome.code == 4, outcome.text
    assert outcome.lines("The app cannot be tried") == [SENTENCE]
    assert outcome.lines("lifecycle") == []
    assert "Traceback" not in outcome.text
    matrix = json.loads((project.path / "report" / "matrix.json").read_text())
    assert matrix["subject"]["not run on sqlite"] == SENTENCE
    outcomes = {outcome for row in matrix["checks"] for outcome in row["results"].values()}
    assert outcomes == {"not run", "not applicable"}
    assert (project.path / "report" / "index.html").read_text().count("answered with 302 FOUND") == 1


def test_requests_carry_the_cookies_of_the_user(project_here: Project) -> None:
    project_here.write(BINDING + LOGIN, "shop.py")
    project_here.write("def log_in(app, client):\n    client.get('/login')\n", "users.py")

    outcome = check(
        project_here,
        "--testbed-as-user",
        "users:log_in",
        checks=(*OF_REQUESTS, "binding.fork", *ON_OWN_SERVER),
    )

    assert outcome.code == 0, outcome.text


def test_the_rows_of_the_user_are_in_each_database(project_here: Project) -> None:
    project_here.write(
        USERS.replace("HOOK", "return None if g.user or 'login' in str(request.url_rule) else abort(401)"),
        "shop.py",
    )
    project_here.write(
        """
        from shop import User, db

        def log_in(app, client):
            with app.app_context():
                db.session.add(User(id=7))
                db.session.commit()
            assert client.get("/login/7").text == "welcome"
        """,
        "users.py",
    )
    checks = ("lifecycle.request-ends", "binding.two-apps", "isolation.committed-rows-go", *ON_OWN_SERVER)

    outcome = check(project_here, "--testbed-as-user", "users.py:log_in", checks=checks)

    assert outcome.code == 0, outcome.text


BEGINS = ("transactions.view-begins", "lifecycle.request-ends")
RECEIVER = """
from flask import request_started

def create_app(config):
    app = made(config)
    app.load = lambda *_, **__: db_session.execute(text("SELECT 1"))
    request_started.connect(app.load, app)
    return app
"""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (USERS.replace("HOOK", "return None"), "shop.load (shop.py, line 23)"),
        (BINDING + RECEIVER, "code of the app"),
    ],
    ids=["hook", "receiver"],
)
def test_an_app_that_uses_the_session_before_the_view_is_not_told_to_begin_in_it(
    project_here: Project, source: str, name: str
) -> None:
    project_here.write(source, "shop.py")

    outcome = check(project_here, checks=BEGINS)

    assert outcome.code == 0, outcome.text
    number = len(project_here.backends)
    assert (
        f"not applicable: {number} test{'s' * (number > 1)} ({name} used the session before the view: end"
        " views of this app with session.commit(), without the block `with session.begin():`)"
    ) in outcome.text


def test_a_session_that_a_hook_leaves_open_is_in_the_way_of_a_view_that_begins(project_here: Project) -> None:
    source = USERS.replace("HOOK", "return None").replace(
        "SQLAlchemy()", "SQLAlchemy(session_options={'scopefunc': get_ident})"
    )
    source = source.replace("    return app", "    app.teardown_appcontext_funcs.clear()\n    return app")
    project_here.write(f"from threading import get_ident\n{source}", "shop.py")

    outcome = check(project_here, checks=BEGINS)

    assert outcome.code == 1, outcome.text
    assert outcome.lines("transactions.view-begins failed on ")
    assert outcome.lines("Begin with lifecycle.request-ends")


def test_a_check_that_is_not_applicable_and_leaves_something_open_has_failed(project_on_one: Project) -> None:
    source = USERS.replace("HOOK", "return None")
    source = source.replace("    return app", "    app.teardown_appcontext_funcs.clear()\n    return app")
    project_on_one.write(source, "shop.py")

    outcome = check(project_on_one, "--testbed-matrix", "matrix.json", checks=BEGINS[:1])

    assert outcome.code == 1, outcome.text
    assert "not applicable" not in outcome.text
    assert re.search(r"\b1 failed\b", outcome.text)
    rows = json.loads((project_on_one.path / "matrix.json").read_text())["checks"]
    reasons = [reason for row in rows for reason in row["reasons"].values()]
    assert [reason.partition(": Failed: left ")[0] for reason in reasons] == ["teardown"], reasons


FORGIVING = """
from sqlalchemy.exc import DBAPIError

class Forgiving(Session):
    def commit(self):
        try:
            super().commit()
        except DBAPIError:
            self.rollback()

db_session.registry.createfunc = lambda: Forgiving(current_app.extensions["engine"])
create_app = made
"""


@pytest.mark.testbed_needs("container")
def test_the_function_that_swallows_the_errors_of_a_demoted_primary_is_named(
    project: Project, testbed_backend: Backend
) -> None:
    project.backends = [testbed_backend.name]
    project.write(BINDING + FORGIVING, "shop.py")

    outcome = check(project, checks=("faults.demoted-primary",))

    assert outcome.code == 1, outcome.text
    line = f"{BINDING}{FORGIVING}".partition("super().commit()")[0].count("\n")
    text = " ".join(outcome.text.split())
    assert f"these functions of the app got the errors: Forgiving.commit (shop.py, line {line + 1})" in text


@pytest.mark.testbed_needs("container")
@pytest.mark.parametrize("options", [{"pool_pre_ping": True}, {}], ids=["pre-ping", "without"])
def test_a_logged_in_user_survives_a_restart_of_the_server(
    project: Project, testbed_backend: Backend, options: dict[str, bool]
) -> None:
    source = USERS.replace(
        "HOOK", "return None if g.user or 'login' in str(request.url_rule) else abort(401)"
    )
    source = source.replace("SQLAlchemy()", f"SQLAlchemy(engine_options={options})")
    source = source.replace("id = db.Column(db.Integer, primary_key=True)", SPECIAL_COLUMNS)
    # A process can make one such app at a time.
    source = source.replace("config=None", "").replace("(config,", "(SQLALCHEMY_DATABASE_URI=URI,")
    project.write(f"import os\n\nURI = os.environ['DATABASE_URI']\n{source}", "shop.py")
    project.write(
        """
        def log_in(app, client):
            from shop import User, db

            with app.app_context():
                # As migrations do: the metadata of the app does not have this table.
                db.session.execute(db.text("CREATE TABLE IF NOT EXISTS alembic_version (version INTEGER)"))
                db.session.execute(db.text("INSERT INTO alembic_version VALUES (1)"))
                user = User(of_json={"name": "Ada"})
                db.session.add(user)
                db.session.flush()
                user.friend_id = user.id
                db.session.commit()
                path = f"/login/{user.id}"
            assert client.get(path).text == "welcome"
        """,
        "users.py",
    )
    project.backends = [testbed_backend.name]

    outcome = check(
        project, "--testbed-as-user", "users:log_in", checks=("faults.restart", "faults.stopped-mid-query")
    )

    assert outcome.code == (0 if options else 1), outcome.text
    # SQLAlchemy drops all connections when it sees the first that is lost.
    assert ("1 of 4 later requests failed" in outcome.text) is not bool(options), outcome.text


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (
            "def log_in(app, client): 1 / 0",
            "'users:log_in' raised ZeroDivisionError: division by zero, raised in users.py:1.",
        ),
        ("def log_in(app, client): pass", "Have users:log_in log in a user who may open each page."),
        (
            "def log_in(app, client): client.post('/login/refused')",
            "its request POST /login/refused was answered with 403 FORBIDDEN.",
        ),
        (
            "def log_in(app, client): client.get('/login/broken')",
            "broken was answered with 500 INTERNAL SERVER ERROR: AttributeError: no audit, raised in shop.py",
        ),
        (
            "def log_in(app, client): client.get('/login/blocked')",
            "users:log_in did not end within 10 s; it was in create_app.<locals>.blocked (shop.py, line ",
        ),
    ],
)
def test_a_function_that_logs_nobody_in_is_one_sentence(
    project: Project, source: str, complaint: str
) -> None:
    views = FAILING_LOGINS.removeprefix("\n")
    login = LOGIN.replace('request.endpoint != "login"', 'not request.path.startswith("/login")')
    app = login.replace("    return app\n", views)
    project.write(f"from threading import Event\n{BINDING}{app}", "shop.py")
    project.write(source, "users.py")

    outcome = check(project, "--testbed-as-user", "users:log_in", checks=("lifecycle.request-ends",))

    assert outcome.code == 4, outcome.text
    (line,) = outcome.lines("The app cannot be tried on sqlite: ")
    assert complaint in line


@pytest.mark.parametrize(("app", "code"), [(FACTORY, 4), (WITHOUT_REMOVE, 1)])
def test_the_other_backends_go_on_without_a_server(project: Project, app: str, code: int) -> None:
    project.write(app, "shop.py")
    nowhere = {variable(BACKENDS["postgresql"]): "postgresql://nobody:secret@127.0.0.1:1/nothing"}

    outcome = check(
        project, "--testbed-backend", "sqlite,postgresql", checks=("lifecycle.request-ends",), **nowhere
    )

    assert outcome.code == code, outcome.text
    assert re.search(rf"request-ends +{'passed' if code == 4 else 'failed'} +not run", outcome.text)
    assert len(outcome.lines("postgresql (TESTBED_POSTGRESQL_URI) was not ready")) == 1, outcome.text


# Whether a table of the backend may have a text without a length.
ANY_LENGTH = {"postgresql": True, "mysql": False}


@pytest.mark.testbed_needs("server")
def test_a_column_that_one_backend_refuses_is_one_sentence(
    project_here: Project, testbed_backend: Backend
) -> None:
    project_here.backends = [testbed_backend.name, "sqlite"]
    table = (
        "from sqlalchemy import Column, MetaData, String, Table\n"
        "users = Table('user', MetaData(), Column('name', String))\n"
    )
    project_here.write(
        f"{BINDING}{table}\ndef create_app(config):\n    app = made(config)\n"
        "    users.create(app.extensions['engine'], checkfirst=True)\n    return app\n",
        "shop.py",
    )

    outcome = check(project_here, checks=("lifecycle.request-ends", "lifecycle.context-ends"))

    sentences = outcome.lines("The app cannot be tried on")
    if testbed_backend.of(ANY_LENGTH):
        assert (outcome.code, sentences) == (0, []), outcome.text
    else:
        (sentence,) = sentences
        assert outcome.code == 4, outcome.text
        assert (
            f"(in table 'user', column 'name'): VARCHAR requires a length on dialect {testbed_backend.name}."
            in sentence
        )
        assert sentence.endswith("Give the column a length, such as String(255).")
        assert "2 passed, 2 not run" in outcome.text


def test_the_other_backends_go_on_without_a_driver(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    drivers = [driver.name for driver in BACKENDS["mysql"].drivers]
    project.write(f"import sys\nsys.modules.update(dict.fromkeys({drivers}))\n", "without_drivers.py")
    options = ("-p", "without_drivers", "--testbed-backend", "sqlite,mysql")

    outcome = check(project, *options, checks=("lifecycle.request-ends",))

    assert outcome.code == 4, outcome.text
    assert re.search(r"request-ends +passed +not run", outcome.text)
    assert len(re.findall(r"^.*pip install.*$", outcome.text, re.MULTILINE)) == 1


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("as_user", "complaint"),
    [
        ("usrs:log_in", "'usrs:log_in': there is no module 'usrs'. Change to the folder that holds it, or"),
        ("users:log_inn", "'users:log_inn': 'users' has no 'log_inn'. Did you mean log_in?"),
        ("users.py:logout", "'users.py:logout': 'users' has no 'logout'."),
        ("users", "'users' is not of the form module:attribute."),
    ],
)
def test_a_wrong_name_of_the_function_stops_before_the_first_check(
    project: Project, as_user: str, complaint: str
) -> None:
    project.write(FACTORY, "shop.py")
    project.write("def log_in(app, client):\n    raise AssertionError", "users.py")

    outcome = check(project, "--testbed-as-user", as_user, checks=("lifecycle.request-ends",))

    assert outcome.code == 4, outcome.text
    assert f"ERROR: --testbed-as-user {complaint}" in outcome.text
    assert "not run" not in outcome.text


def test_a_name_that_the_module_of_the_function_imports_is_accepted(project_here: Project) -> None:
    project_here.write(BINDING + LOGIN, "shop.py")
    project_here.write("def log_in(app, client):\n    client.get('/login')\n", "logins.py")
    project_here.write("from logins import *\n", "users.py")

    outcome = check(project_here, "--testbed-as-user", "users:log_in", checks=("lifecycle.request-ends",))

    assert outcome.code == 0, outcome.text


def test_the_user_of_the_next_test_finds_the_tables_that_an_app_creates_on_import(project: Project) -> None:
    project.write(TABLES_ON_IMPORT, "todo.py")
    project.write("def log_in(app, client): client.post('/login')", "users.py")

    outcome = project.run(
        *("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "todo:app"),
        *("--testbed-as-user", "users:log_in"),
        *("--testbed-check", "isolation.committed-rows-go", "--testbed-check", "isolation.keys-start-again"),
        DATABASE_URL="sqlite://",
    )

    assert outcome.code == 0, outcome.text


def test_the_log_in_of_the_next_test_leaves_the_session_of_the_app_in_place(project_here: Project) -> None:
    project_here.write(SESSION_OF_MODULE, "shop.py")
    project_here.write("def log_in(app, client): client.get('/login')", "users.py")
    checks = ("isolation.committed-rows-go", "isolation.keys-start-again", "isolation.worker-holds-on")

    outcome = check(
        project_here, "--testbed-as-user", "users:log_in", checks=checks, DATABASE_URL="sqlite://"
    )

    assert "apps: one at a time; its modules are imported again for each" in outcome.text
    assert outcome.code == 0, outcome.text

"""The check with forked workers, which starts gunicorn."""

from tests.harness.projects import Project
from tests.harness.shops import BINDING

FORK = (
    "--pyargs",
    "flask_sqlalchemy_testbed.battery",
    "--testbed-check",
    "binding.fork",
    "--testbed-app",
    "shop",
)
DISPOSES_AFTER_FORK = f"""import os
{BINDING}

def create_app(config):
    app = made(config["DATABASE_URI"])
    os.register_at_fork(after_in_child=lambda: app.extensions["engine"].dispose(close=False))
    return app
"""


def test_the_installed_gunicorn_starts_the_workers(project_here: Project) -> None:
    project_here.write(DISPOSES_AFTER_FORK, "shop.py")

    outcome = project_here.run(*FORK)

    assert outcome.code == 0, outcome.text
    assert f"{len(project_here.backends)} passed" in outcome.text


def test_the_check_is_not_applicable_without_gunicorn(project_here: Project) -> None:
    project_here.write(DISPOSES_AFTER_FORK, "shop.py")
    project_here.write("import sys\nsys.modules['gunicorn'] = None\n", "without_gunicorn.py")

    outcome = project_here.run(*FORK, "-p", "without_gunicorn")
    count = len(project_here.backends)

    assert f"not applicable: {count} test{'s' * (count != 1)} (gunicorn is not installed)" in outcome.text

"""Configure gunicorn for the checks, in place of the project's own `gunicorn.conf.py`.

gunicorn imports this module before its gevent worker patches the standard library, so it imports little.
"""

import os

from flask_sqlalchemy_testbed.servers.processes import end_with

# The environment variable with the number of the process that starts gunicorn.
PARENT = "TESTBED_SERVED_PARENT"


# A run that is killed cannot end gunicorn, nor a killed gunicorn its workers, which may hang.
def on_starting(_arbiter: object) -> None:
    """End gunicorn with the run."""
    end_with(int(os.environ[PARENT]))


def post_fork(_arbiter: object, _worker: object) -> None:
    """End a worker with gunicorn."""
    end_with(os.getppid())

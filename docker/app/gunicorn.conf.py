# ruff: noqa: INP001 - settings, not a module
"""How the trial is served, in its container and by ``python -m trials``."""

from __future__ import annotations

import logging

wsgi_app = "trials.wsgi:create_trial()"
bind = "0.0.0.0:8000"  # the container's own; compose.yaml publishes it to this machine alone

# One process, since several engines in one are what the trial shows. Threads for all who wait in vain
# for one database: the others go on. They are started as they are needed.
worker_class = "gthread"
threads = 256

graceful_timeout = 2
control_socket_disable = True  # nobody asks it, and the root file system is read-only

accesslog = "-"
access_log_format = '%(t)s "%(r)s" %(s)s %(M)s ms'


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # The health check asks once a second; only its failures are news.
    asked = record.args
    return not (isinstance(asked, dict) and asked["r"].startswith("GET /healthz ") and asked["s"] == "200")


logging.getLogger("gunicorn.access").addFilter(_is_worth_a_line)

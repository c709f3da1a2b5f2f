# ruff: noqa: INP001 - settings, not a module
"""Configure gunicorn for the trial, in its container and in ``python -m trials``."""

from __future__ import annotations

wsgi_app = "trials.wsgi:create_trial()"
bind = "0.0.0.0:8000"  # the container's own; compose.yaml publishes it to this machine alone

# One process, because the trial shows several engines in one process. Many threads, so that requests that
# wait for a frozen database do not block the others. gunicorn starts threads when they are needed.
worker_class = "gthread"
threads = 256

graceful_timeout = 2
control_socket_disable = True  # not used, and the root file system is read-only

# Each event is one line. The trial logs each request itself, with more details than gunicorn's access log.
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "trials.log_lines.LineFormatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}
    },
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
    },
}

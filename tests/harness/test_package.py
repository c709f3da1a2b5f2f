"""The package has few public names, and its plugin costs other runs almost no time."""

import subprocess
import sys

import flask_sqlalchemy_testbed
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.servers.network import Server

# Modules and names that Windows or macOS lack.
WITHOUT = {
    "os": "fork register_at_fork uname getuid geteuid killpg setsid pidfd_open sched_getaffinity",
    "signal": "SIGUSR1 SIGUSR2 SIGALRM SIGHUP SIGKILL pthread_kill setitimer alarm",
    "select": "poll epoll",
}
IMPORT_ALL = f"""
import importlib, pkgutil, sys
import flask_sqlalchemy_testbed as package

def import_all():
    for module in pkgutil.walk_packages(package.__path__, "flask_sqlalchemy_testbed."):
        importlib.import_module(module.name)

import_all()  # Other packages keep what they have found in os and signal.
for name in [name for name in sys.modules if name.startswith("flask_sqlalchemy_testbed.")]:
    del sys.modules[name]
for module, names in {WITHOUT}.items():
    for name in names.split():
        vars(sys.modules[module]).pop(name, None)
import_all()
"""
# Slow to import, and needed only by runs that use the plugin.
SLOW = {"docker", "flask", "hmac", "multiprocessing", "sqlalchemy", "unittest"}
IMPORT_PLUGIN = """
import importlib, sys
import pytest

before = set(sys.modules)
plugin = importlib.import_module("flask_sqlalchemy_testbed.plugin.plugin")
for name in plugin.MODULES:
    importlib.import_module(f"flask_sqlalchemy_testbed.plugin.{name}")
print(*set(sys.modules) - before)
"""
START = """
import gc
from flask_sqlalchemy_testbed.run import Run

class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("collected")

run = Run()
run.start([])
run.close()
cycle = Cycle()
print("collects:", gc.isenabled())
"""


def run(source: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_the_types_of_the_fixtures_can_be_imported() -> None:
    assert flask_sqlalchemy_testbed.__all__ == ["Backend", "Database", "Server"]
    assert flask_sqlalchemy_testbed.Backend is type(BACKENDS["sqlite"])
    assert flask_sqlalchemy_testbed.Database is Database
    assert flask_sqlalchemy_testbed.Server is Server


def test_the_plugin_imports_nothing_slow() -> None:
    assert not SLOW & set(run(IMPORT_PLUGIN).split())


def test_every_module_can_be_imported_on_systems_that_lack_signals_and_forks() -> None:
    run(IMPORT_ALL)


def test_after_a_run_garbage_is_collected_but_not_at_the_end_of_the_interpreter() -> None:
    assert run(START) == "collects: True\n"

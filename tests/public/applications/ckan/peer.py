import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from ckan import model
from ckan.cli import load_config
from ckan.config.middleware import make_app
from flask import Flask


@cache
def settings() -> str:
    file = Path(tempfile.mkdtemp(), "ckan.ini")
    ckan = Path(sys.executable).with_name("ckan")
    subprocess.run([ckan, "generate", "config", file], check=True, capture_output=True)
    return file.read_text(encoding="utf-8").replace("ckan.site_url =", "ckan.site_url = http://localhost")


def make(uri: str) -> Flask:
    text = "\n".join(line for line in settings().splitlines() if not line.startswith("sqlalchemy.url"))
    file = Path(tempfile.mkdtemp(), "ckan.ini")
    file.write_text(text.replace("[app:main]", f"[app:main]\nsqlalchemy.url = {uri}"), encoding="utf-8")
    return make_app(load_config(str(file)))._wsgi_app


def session():
    return model.Session

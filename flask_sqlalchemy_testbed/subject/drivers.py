"""The drivers that the app is to use, by backend; the harness keeps its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.options import flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The packages whose name is not the driver's.
PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "mysqldb": "mysqlclient",
    "pymysql": "PyMySQL",
    "mysqlconnector": "mysql-connector-python",
}


class UnknownDriverError(ValueError):
    """The driver cannot be used; the message says why and what to do."""


def drivers(words: Iterable[str]) -> dict[str, str]:
    """Return the driver of each backend for which one is chosen.

    Args:
        words: each of the form `backend=driver`.

    Raises:
        UnknownDriverError: a word has another form, or its driver is not installed or not usable.
    """
    chosen = {}
    for word in words:
        option = f"{flag('driver')} {word!r}"
        backend, _, driver = word.strip().partition("=")
        if not (backend and driver):
            message = f"{option} is not of the form backend=driver, such as postgresql=psycopg."
            raise UnknownDriverError(message)
        if backend not in BACKENDS:
            message = f"{option}: unknown backend {backend!r}. Choose from: {', '.join(BACKENDS)}."
            raise UnknownDriverError(message)
        _check(option, backend, driver)
        chosen[backend] = driver
    return chosen


def with_driver(uri: str, chosen: Mapping[str, str]) -> str:
    """Return the URI with the driver that is chosen for its backend, if there is one.

    Args:
        uri: A database URI.
        chosen: Drivers by the names of their backends.
    """
    if not chosen:
        return uri
    from sqlalchemy import make_url  # noqa: PLC0415 - it costs every pytest run time, also those without us

    url = make_url(uri)
    if driver := chosen.get(url.get_backend_name()):
        url = url.set(drivername=f"{url.get_backend_name()}+{driver}")
        return url.render_as_string(hide_password=False)
    return uri


def _check(option: str, backend: str, driver: str) -> None:
    from sqlalchemy.engine import URL  # noqa: PLC0415 - it costs every pytest run time, also those without us
    from sqlalchemy.exc import NoSuchModuleError  # noqa: PLC0415 - the same

    try:
        dialect = URL.create(f"{backend}+{driver}").get_dialect()
    except NoSuchModuleError:
        message = f"{option}: SQLAlchemy has no driver {driver!r} for {backend}."
        raise UnknownDriverError(message) from None
    if dialect.is_async:
        message = f"{option}: the driver is asynchronous. Choose one that is not."
        raise UnknownDriverError(message)
    try:
        dialect.import_dbapi()
    except ImportError as error:
        package = PACKAGES.get(driver, driver)
        message = f"{option}: the driver is not installed ({error}). Run: pip install '{package}'."
        raise UnknownDriverError(message) from None

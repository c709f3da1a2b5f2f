"""`--testbed-driver postgresql=psycopg`: the driver that the subject is to use; the harness keeps its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What the package is called that has the driver, where that is not the driver's own name.
PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "mysqldb": "mysqlclient",
    "pymysql": "PyMySQL",
    "mysqlconnector": "mysql-connector-python",
}


class UnknownDriverError(ValueError):
    """It is not of the form `backend=driver`, or there is no such driver here."""


def drivers(words: Iterable[str]) -> dict[str, str]:
    """By backend the driver that is wanted there; each of them is installed."""
    chosen = {}
    for word in words:
        backend, equals, driver = word.strip().partition("=")
        if not (backend and equals and driver):
            message = (
                f"--testbed-driver {word!r} is not of the form backend=driver, such as postgresql=psycopg."
            )
            raise UnknownDriverError(message)
        if backend not in BACKENDS:
            message = (
                f"--testbed-driver {word!r}: unknown backend {backend!r}. Choose from: {', '.join(BACKENDS)}."
            )
            raise UnknownDriverError(message)
        _check(word, backend, driver)
        chosen[backend] = driver
    return chosen


def with_driver(uri: str, chosen: Mapping[str, str]) -> str:
    """The URI with the driver that was chosen for its backend; any other is left as it is."""
    if not chosen:
        return uri
    from sqlalchemy import make_url  # noqa: PLC0415 - for those who use none of this

    url = make_url(uri)
    if driver := chosen.get(url.get_backend_name()):
        url = url.set(drivername=f"{url.get_backend_name()}+{driver}")
        return url.render_as_string(hide_password=False)
    return uri


def _check(word: str, backend: str, driver: str) -> None:
    from sqlalchemy.engine import URL  # noqa: PLC0415 - for those who use none of this
    from sqlalchemy.exc import NoSuchModuleError  # noqa: PLC0415

    try:
        dialect = URL.create(f"{backend}+{driver}").get_dialect()
    except NoSuchModuleError:
        message = f"--testbed-driver {word!r}: SQLAlchemy knows no driver {driver!r} for {backend}."
        raise UnknownDriverError(message) from None
    if dialect.is_async:
        message = f"--testbed-driver {word!r} is asynchronous; the battery tries sessions that are not."
        raise UnknownDriverError(message)
    try:
        dialect.import_dbapi()
    except ImportError as error:
        package = PACKAGES.get(driver, driver)
        message = f"--testbed-driver {word!r} is not installed here ({error}): pip install '{package}'."
        raise UnknownDriverError(message) from None

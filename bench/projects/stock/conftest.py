"""Start containers with testcontainers for the whole run, as projects without a harness do."""

import os
from collections.abc import Iterator

import pytest
from testcontainers.mysql import MySqlContainer
from testcontainers.postgres import PostgresContainer


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URI of a file."""
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/test.db"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Start a container, and return its URI."""
    with PostgresContainer(os.environ["POSTGRESQL_IMAGE"], driver="psycopg2") as container:
        yield container.get_connection_url()


@pytest.fixture(scope="session")
def mysql() -> Iterator[str]:
    """Start a container, and return its URI."""
    with MySqlContainer(os.environ["MYSQL_IMAGE"], dialect="pymysql") as container:
        yield container.get_connection_url()


@pytest.fixture(scope="session", params=["sqlite", "postgresql", "mysql"])
def stock_uri(request: pytest.FixtureRequest) -> str:
    """Return the URI of each database in turn."""
    uri: str = request.getfixturevalue(request.param)
    return uri

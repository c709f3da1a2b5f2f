import pytest

from flask_sqlalchemy_testbed.subject.drivers import UnknownDriverError, drivers, with_driver


def test_a_driver_is_chosen_for_its_backend_only() -> None:
    chosen = drivers(["postgresql=psycopg2", "sqlite=pysqlite"])

    assert with_driver("postgresql://x:p%40@host/shop", chosen) == "postgresql+psycopg2://x:p%40@host/shop"
    assert with_driver("sqlite:///shop.db", chosen) == "sqlite+pysqlite:///shop.db"
    assert with_driver("mysql+pymysql://host/shop", chosen) == "mysql+pymysql://host/shop"


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("postgresql", "is not of the form backend=driver, such as postgresql=psycopg"),
        ("=psycopg", "is not of the form backend=driver"),
        ("pg=psycopg2", "unknown backend 'pg'. Choose from: sqlite, postgresql, mysql"),
        ("mysql=psycopg2", "SQLAlchemy has no driver 'psycopg2' for mysql"),
        ("postgresql=asyncpg", "the driver is asynchronous"),
        ("mysql=mysqlconnector", "pip install 'mysql-connector-python'"),
    ],
)
def test_an_unusable_driver_is_refused(word: str, complaint: str) -> None:
    with pytest.raises(UnknownDriverError, match=complaint):
        drivers([word])

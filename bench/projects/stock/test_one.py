"""One test on containers of testcontainers."""

from sqlalchemy import create_engine, text


def test_the_database_answers(stock_uri: str) -> None:
    """Execute one statement."""
    engine = create_engine(stock_uri)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()

"""One test on the servers of the harness."""

from sqlalchemy import create_engine, text


def test_the_database_answers(database_uri: str) -> None:
    """Execute one statement."""
    engine = create_engine(database_uri)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()

"""The published code, which the repository keeps among its specimens."""

from tests.specimens.pattern_2010_on_the_app import create_app
from tests.specimens.pattern_2010_on_the_app import session as db_session

__all__ = ["create_app", "db_session"]

"""The published code, from the specimens of this repository."""

from tests.specimens.pattern_2010_on_the_app import create_app
from tests.specimens.pattern_2010_on_the_app import session as db_session

__all__ = ["create_app", "db_session"]

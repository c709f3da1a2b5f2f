"""The published code, from the specimens of this repository."""

from tests.specimens.pattern_2010 import create_app
from tests.specimens.pattern_2010 import session as db_session

__all__ = ["create_app", "db_session"]

"""The published code, from the specimens of this repository."""

from tests.specimens.configure_after_remove import create_app
from tests.specimens.configure_after_remove import session as db_session

__all__ = ["create_app", "db_session"]

"""The published code, which the repository keeps among its specimens."""

from tests.specimens.configure_after_remove import create_app
from tests.specimens.configure_after_remove import session as db_session

__all__ = ["create_app", "db_session"]

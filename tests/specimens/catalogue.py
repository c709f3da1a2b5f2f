"""All specimens, by name."""

from tests.specimens import connections, ends, engines, faults, published, schema, scopes
from tests.specimens.sound import SOUND

__all__ = ["SOUND", "SPECIMENS", "TABLES"]

TABLES = (connections, ends, engines, faults, published, schema, scopes)
SPECIMENS = {name: specimen for table in TABLES for name, specimen in table.SPECIMENS.items()}

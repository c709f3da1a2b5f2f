"""All specimens, by name."""

from tests.specimens import connections, ends, engines, faults, published, scopes

TABLES = (connections, ends, engines, faults, published, scopes)
SPECIMENS = {name: specimen for table in TABLES for name, specimen in table.SPECIMENS.items()}

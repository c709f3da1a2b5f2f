"""All specimens, by name."""

from __future__ import annotations

from tests.specimens import connections, ends, engines, faults, published, scopes

TABLES = (connections, ends, engines, faults, published, scopes)
SPECIMENS = {name: specimen for table in TABLES for name, specimen in table.SPECIMENS.items()}

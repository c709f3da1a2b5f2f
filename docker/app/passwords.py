# ruff: noqa: INP001 - a script
"""Writes a random password to each file named on the command line that does not exist; keeps those that do.

Who may read them is up to the mounts: each container sees the folders that it needs, and no other.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    if not path.exists():
        # The name appears when the password is whole.
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        part.write_text(secrets.token_urlsafe(32), encoding="ascii")
        part.chmod(0o444)
        part.rename(path)

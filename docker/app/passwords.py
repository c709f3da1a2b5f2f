# ruff: noqa: INP001 - a script
"""Write a random password to each file of the command line that does not exist.

Existing files stay. The mounts decide which container can read a file: each mounts the folders that it needs.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    if not path.exists():
        # The file gets its name when it is complete.
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        part.write_text(secrets.token_urlsafe(32), encoding="ascii")
        part.chmod(0o444)
        part.rename(path)

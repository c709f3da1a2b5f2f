"""Tells whether the process that made a thing still runs: its number alone does not, for it comes again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from any other that had or will have its number."""

    pid: int
    started: str
    where: str
    """The boot and the process namespace that the number counts in."""

    @classmethod
    def of(cls, pid: int) -> Owner:
        """The process that has this number now."""
        return cls(pid, _start_time(pid), _place())

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """What `str()` wrote; None for anything else."""
        pid, _, rest = text.partition(" ")
        started, _, where = rest.partition(" ")
        return cls(int(pid), started, where) if pid.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.where}"

    def can_be_judged(self) -> bool:
        """Whether its number means anything here: not after a boot, not from another container or machine."""
        return self.where == _place()

    def is_alive(self) -> bool:
        """Whether that very process still runs; ask only where `can_be_judged`."""
        return _exists(self.pid) and _start_time(self.pid) == self.started


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str:
    with contextlib.suppress(OSError):
        # The name of the program, in brackets, may hold anything.
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        return "ended" if fields[0] in "ZX" else fields[19]
    return "-"


def _place() -> str:
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return os.uname().nodename

"""Identify a process even if its number is used again, to find out whether a run has ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

# From linux/prctl.h; Python has no name for it.
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, distinguished from every other process that had or will have its number."""

    pid: int
    started: str
    namespace: str
    """The boot and the PID namespace in which the number is valid."""

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Return the identity of the process that has this number now.

        Args:
            pid: The number.
        """
        return cls(pid, _start_time(pid), _namespace())

    @classmethod
    def parse(cls, text: str) -> ProcessId | None:
        """Return the identity that `str()` wrote; None for any other text.

        Args:
            text: Any text.
        """
        pid, _, rest = text.partition(" ")
        started, _, namespace = rest.partition(" ")
        return cls(int(pid), started, namespace) if pid.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.namespace}"

    def is_local(self) -> bool:
        """Return whether this process can see the other one.

        It cannot after a reboot, from another container or from another machine.
        """
        return self.namespace == _namespace()

    def has_ended(self) -> bool:
        """Return whether the process is known to have ended.

        The result is False if this process cannot see it.
        """
        return self.is_local() and not (_exists(self.pid) and _start_time(self.pid) == self.started)


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends.

    If the parent has ended already, end at once.

    A process that this one forks has to call it, too. Only Linux can do this.

    Args:
        parent: The number of the process that started this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _exists(pid: int) -> bool:
    """Return whether a process has this number now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str:
    with contextlib.suppress(OSError):
        # The name of the program, in brackets, may contain anything.
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        return "ended" if fields[0] in "ZX" else fields[19]
    return "-"


def _namespace() -> str:
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return os.uname().nodename

"""Resident memory of this process, now and at its peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def resident() -> int:
    """Returns the resident bytes; on macOS those of the peak so far."""
    return _status("VmRSS")


def peak_resident() -> int:
    """Returns the resident bytes at the peak."""
    return _status("VmHWM")


def _status(name: str) -> int:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: a process inherits it from its parent.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

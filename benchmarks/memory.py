"""Memory that this process holds, and has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def resident() -> int:
    """Bytes held now; on macOS, at the peak so far."""
    return _status("VmRSS")


def peak_resident() -> int:
    """Bytes held at the peak."""
    return _status("VmHWM")


def _status(name: str) -> int:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: a process begins with that of the one which started it.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

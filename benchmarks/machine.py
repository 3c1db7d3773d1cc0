"""The machine and the code: versions, commit, and memory of this process."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import resource
import subprocess
import sys
from pathlib import Path


def print_heading(name: str) -> None:
    """Prints the benchmark's name, TensorFlow's version, the number of cores and the commit."""
    print(f"{name}: {describe()}, commit {commit()}", flush=True)


def describe() -> str:
    """Returns TensorFlow's version and the number of cores, without importing TensorFlow."""
    version = importlib.metadata.version("tensorflow")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"TensorFlow {version}, {cores} cores"


def commit() -> str:
    """Returns the commit of the code, or `unknown`."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def resident() -> int:
    """Returns the resident bytes; on macOS those of the peak so far."""
    return _status("VmRSS")


def peak_resident() -> int:
    """Returns the resident bytes at the peak."""
    return _status("VmHWM")


def reset_peak_resident() -> None:
    """Begins a new peak; no change where the system cannot."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(name: str) -> int:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: a process inherits it from its parent.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

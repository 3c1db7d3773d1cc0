"""The heading of every benchmark: what was measured, and on what."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path


def print_heading(name: str) -> None:
    """Prints a benchmark's name, TensorFlow's version, the number of cores and the commit.

    TensorFlow itself is not imported.

    Args:
        name: of the benchmark.
    """
    version = importlib.metadata.version("tensorflow")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{name}: TensorFlow {version}, {cores} cores, commit {_commit()}", flush=True)


def _commit() -> str:
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

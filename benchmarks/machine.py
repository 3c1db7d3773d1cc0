"""The heading of every benchmark: what was measured, and on what."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path


def print_heading(name: str) -> None:
    """Prints a benchmark's name, TensorFlow's version, the number of cores and the commit.

    Args:
        name: of the benchmark.
    """
    print(f"{name}: {describe()}, commit {commit()}", flush=True)


def describe() -> str:
    """TensorFlow's version, and the number of cores.

    TensorFlow itself is not imported.
    """
    version = importlib.metadata.version("tensorflow")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"TensorFlow {version}, {cores} cores"


def commit() -> str:
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

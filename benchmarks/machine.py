"""Headings of the benchmarks: versions, machine and commit."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
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

"""Runs commands as processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from rlstm_tf.errors import DataError


def run(command: Sequence[str], status: int = 0) -> str:
    """Runs a command and returns what it prints.

    Args:
        command: program and arguments.
        status: expected exit status.

    Raises:
        DataError: it ended with another status.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != status:
        last = [f"status {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise DataError(f"{' '.join(map(os.path.basename, command))}: {last}")
    return done.stdout


def printed(command: Sequence[str]) -> list[str]:
    """Returns the words of the last line that a command prints.

    Raises:
        DataError: it failed.
    """
    return run(command).strip().splitlines()[-1].split()

"""File systems that are really small, or really read-only, where root may mount them."""

from __future__ import annotations

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def mounted(directory):
    """A file system in memory at `directory`; yields remount(options)."""
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"may not mount: {done.stderr.decode().strip()}")

    def remount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(directory)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", str(directory)], check=True)

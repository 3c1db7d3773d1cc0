"""Runs a training that stops when the search that started it is gone, even by SIGKILL.

    python -m rlstm_tf.tuning.child PARENT --flag=...

is `python -m rlstm_tf.train --flag=...`, but gets SIGTERM, on which a training saves and stops,
when the process PARENT has ended. Linux only: elsewhere it trains to its end, and a resumed search
waits for it.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

# Signals that stop a search. A training starts with them blocked.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


def stop_with_parent(parent: int) -> None:
    """Requests SIGTERM for the end of the parent process.

    Args:
        parent: id of the parent; if another process is the parent by now, exits.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f"the search, process {parent}, has ended")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


if __name__ == "__main__":
    stop_with_parent(int(sys.argv.pop(1)))
    runpy.run_module("rlstm_tf.train", run_name="__main__", alter_sys=True)

"""A training that ends with the search that started it, be that by SIGKILL.

    python -m rlstm_tf.tuning.child PARENT --flag=...

is `python -m rlstm_tf.train --flag=...`, but gets SIGTERM, on which a training saves and stops,
when the process PARENT that started it is gone. Linux only: elsewhere it goes on to its end, and
the search that is started again waits for it.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

# What a search may be asked to stop with. It starts a training with these blocked.
ASKED = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Asks for SIGTERM when the parent process is gone.

    Args:
        parent: its id; where another process is the parent by now, this one ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f"the search {parent} is gone")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)


if __name__ == "__main__":
    end_with(int(sys.argv.pop(1)))
    runpy.run_module("rlstm_tf.train", run_name="__main__", alter_sys=True)

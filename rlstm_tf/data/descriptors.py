"""The files that a process may hold open: as many as its shards need."""

from __future__ import annotations

import errno
import os
import resource

from rlstm_tf.errors import DataError

# The frames of a shard, and the map of their index, which keeps a descriptor of its own.
_A_SHARD = 2
# Beside the shards, and not open yet: libraries, events, devices.
_OTHER_FILES = 512
_HINTS = {
    errno.EMFILE: "the limit is `ulimit -n`",
    errno.ENFILE: "the limit is fs.file-max",
    errno.ENOMEM: "every shard is a map, the limit is vm.max_map_count",
}


def raise_open_file_limit(count: int) -> None:
    """Lets this process open so many local shards beside what it holds open already.

    Often 1,024 files are allowed, and more if asked for.

    Raises:
        DataError: the system does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _open_now() + _A_SHARD * count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise DataError(
            f"{count} more shards take {wanted} open files in all, the system allows {hard} files "
            "(ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_error_reason(error: OSError) -> str:
    """Why a shard cannot be opened, with the limit that it ran into if it did."""
    hint = _HINTS.get(error.errno or 0)
    return f"{error.strerror} ({hint})" if hint else f"{error.strerror or error}"


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        # Not Linux: what is open already has to fit into the files beside the shards.
        return 0

"""The system's limit on open files, raised for runs with many shards."""

from __future__ import annotations

import errno
import os
import resource

from rlstm_tf.errors import DataError

# A shard's file, and the memory map of its index, which keeps its own descriptor.
_FILES_PER_SHARD = 2
# Libraries, event files and devices that are opened later.
_OTHER_FILES = 512
_HINTS = {
    errno.EMFILE: "the limit is `ulimit -n`",
    errno.ENFILE: "the limit is fs.file-max",
    errno.ENOMEM: "every shard is a map, the limit is vm.max_map_count",
}


def raise_open_file_limit(num_shards: int) -> None:
    """Raises this process's limit on open files, often 1,024, to open that many more local shards.

    Raises:
        DataError: the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _num_open_files() + _FILES_PER_SHARD * num_shards + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise DataError(
            f"{num_shards} more shards take {wanted} open files in all, the system allows {hard} "
            "files (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_error_reason(error: OSError) -> str:
    """Returns why a shard cannot be opened, naming the limit that was reached if any."""
    hint = _HINTS.get(error.errno or 0)
    return f"{error.strerror} ({hint})" if hint else f"{error.strerror or error}"


def _num_open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        # Not Linux: _OTHER_FILES covers the open files too.
        return 0

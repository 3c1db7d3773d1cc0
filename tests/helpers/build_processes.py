"""Runs builds and repairs in processes that tests can pause and kill at any file access.

The processes are forked from one that has loaded TensorFlow, so that they start fast.
"""

from __future__ import annotations

import importlib
import itertools
import os
import resource
import signal
import sys
from functools import cached_property
from pathlib import Path

import warm_python
from builds import files

# Audit events of Python; TensorFlow's own writes lie between two of these.
_EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock"}


class Build:
    """A build in a process of its own, paused before a file access if `point` is given.

    Args:
        arguments: flags of `tfrecords_tools.build`.
        point: number of the access; or an audit event of Python and the end of the file's path.
        file_size: maximum size of any file, bytes.
        program: module of tfrecords_tools to run with the arguments in place of `build`.

    Attributes:
        touches: number of accesses to files of the output; known after `status`.
    """

    def __init__(self, arguments, point=None, file_size=None, program="build"):
        forks = warm_python.context()
        self._connection, theirs = forks.Pipe()
        # A pipe, to which the limit of file sizes does not apply.
        self._printed, printed = forks.Pipe(duplex=False)
        given = arguments, theirs, printed, point, file_size, program
        self._process = forks.Process(target=_run, args=given)
        self._process.start()
        theirs.close()
        printed.close()
        self.touches = None

    def held(self):
        """Waits until the build is paused; returns where, or None if it ended before."""
        try:
            found = self._connection.recv()
        except EOFError:
            return None
        if isinstance(found, int):
            self.touches = found
            return None
        return found

    def go_on(self):
        """Lets a paused build continue."""
        self._connection.send(None)

    def kill(self, alone):
        """Sends SIGKILL to the build `alone`, or to its workers too."""
        (os.kill if alone else os.killpg)(self._process.pid, signal.SIGKILL)
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL

    def status(self):
        """Waits for the end; returns the exit status."""
        assert self.touches is not None or self.held() is None
        self._process.join()
        return self._process.exitcode

    @cached_property
    def printed(self):
        """The output of a build that has ended."""
        return b"".join(iter(lambda: os.read(self._printed.fileno(), 1 << 16), b"")).decode()

    def errors(self):
        """Returns the lines `error: ...` of a build that has ended; fails on a traceback."""
        assert "Traceback" not in self.printed, self.printed
        lines = [line.split("\r")[-1] for line in self.printed.splitlines()]
        return [line for line in lines if line.startswith("error")]

    def has_living_processes(self):
        """Returns True if any process of the build is still running."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == self._process.pid and state != "Z":
                return True
        return False


def check_is_part_of(directory, expected):
    """Checks that files under their final names are complete, and that the manifest comes last."""
    found = files(directory) if Path(directory).exists() else {}
    found.pop("manifest.json.partial", None)
    assert set(found) <= set(expected)
    for name, content in found.items():
        assert content == expected[name], name
    if "manifest.json" in found:
        assert found == expected


def _run(arguments, connection, printed, point, file_size, program):
    # The leader of its process group, as a command of a shell is.
    os.setsid()
    os.dup2(printed.fileno(), 1)
    os.dup2(printed.fileno(), 2)
    printed.close()
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    places = [flag for flag in arguments if flag.startswith(("--output=", "--data="))]
    output = places[0].partition("=")[2]
    numbers = itertools.count(1)
    last, paused = 0, False

    def hold(name, values):
        nonlocal last, paused
        if name not in _EVENTS and not (name == "open" and str(values[0]).startswith(output)):
            return
        last = next(numbers)
        path = str(values[0])
        # Opening a file may be two events.
        if last == point or (
            not paused and isinstance(point, tuple) and name == point[0] and path.endswith(point[1])
        ):
            paused = True
            connection.send((name, path))
            connection.recv()

    sys.addaudithook(hold)
    from rlstm_tf.cli import app

    module = importlib.import_module(f"tfrecords_tools.{program}")
    status = app.run(module.main, module.define_flags, [program, *arguments])
    connection.send(last)
    sys.exit(status)

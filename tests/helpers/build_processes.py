"""Builds and repairs in processes of their own, held and killed at any file that they touch.

The processes are forked from one that has loaded TensorFlow, so that a build costs no more than
its work.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import resource
import signal
import sys
from functools import cached_property
from pathlib import Path

from builds import files

# What Python reports before it happens; TensorFlow's own writing lies between two of these.
_EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock"}


class Build:
    """A build that runs, and is held before it touches a file, if a place is given.

    Args:
        arguments: of `tfrecords_tools.build`.
        point: the `point`-th touch; or the kind of touch (an audit event of Python's) and how the
            file's path ends.
        file_size: bytes that no file may pass, if any may not.
        program: module of tfrecords_tools to run with the arguments in place of `build`.

    Attributes:
        touches: how often the build touched a file of the output; known after `status`.
    """

    def __init__(self, arguments, point=None, file_size=None, program="build"):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tensorflow", "tfrecords_tools.checker.repair"])
        self._connection, theirs = context.Pipe()
        # No file: what is printed has no limit.
        self._printed, printed = context.Pipe(duplex=False)
        given = arguments, theirs, printed, point, file_size, program
        self._process = context.Process(target=_run, args=given)
        self._process.start()
        theirs.close()
        printed.close()
        self.touches = None

    def held(self):
        """Waits until the build is held; returns where, or None if it ended before."""
        try:
            found = self._connection.recv()
        except EOFError:
            return None
        if isinstance(found, int):
            self.touches = found
            return None
        return found

    def go_on(self):
        """Ends the holding."""
        self._connection.send(None)

    def kill(self, alone):
        """SIGKILL to the build `alone`, or to its workers too."""
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
        """All that a build that has ended printed."""
        return b"".join(iter(lambda: os.read(self._printed.fileno(), 1 << 16), b"")).decode()

    def errors(self):
        """The lines `error: ...` of a build that has ended without a traceback."""
        assert "Traceback" not in self.printed, self.printed
        lines = [line.split("\r")[-1] for line in self.printed.splitlines()]
        return [line for line in lines if line.startswith("error")]

    def has_living_processes(self):
        """Whether any process of the build still runs."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == self._process.pid and state != "Z":
                return True
        return False


def check_is_part_of(directory, expected):
    """What stands under its final name is whole, and the manifest comes last."""
    found = files(directory) if Path(directory).exists() else {}
    found.pop("manifest.json.partial", None)
    assert set(found) <= set(expected)
    for name, content in found.items():
        assert content == expected[name], name
    if "manifest.json" in found:
        assert found == expected


def _run(arguments, connection, printed, point, file_size, program):
    # The head of its process group, as a command of a shell is.
    os.setsid()
    os.dup2(printed.fileno(), 1)
    os.dup2(printed.fileno(), 2)
    printed.close()
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    places = [flag for flag in arguments if flag.startswith(("--output=", "--data="))]
    output = places[0].partition("=")[2]
    numbers = itertools.count(1)
    last = 0

    def hold(name, values):
        nonlocal last
        if name not in _EVENTS and not (name == "open" and str(values[0]).startswith(output)):
            return
        last = next(numbers)
        path = str(values[0])
        if last == point or (
            isinstance(point, tuple) and name == point[0] and path.endswith(point[1])
        ):
            connection.send((name, path))
            connection.recv()

    sys.addaudithook(hold)
    from rlstm_tf.cli import app

    module = importlib.import_module(f"tfrecords_tools.{program}")
    status = app.run(module.main, module.define_flags, [program, *arguments])
    connection.send(last)
    sys.exit(status)

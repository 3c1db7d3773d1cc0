"""Runs Python programs in processes forked from one that has imported TensorFlow: they start fast.

A program gets the arguments, environment, working directory and output that `python` would give
it. TensorFlow's runtime, which must not be forked, starts in the new process.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from repository import ROOT

# Imported before the fork. No commands: runpy warns if one is imported already.
_PRELOADED = ["tensorflow", "tfrecords_tools.checker.repair", "rlstm_tf.training.loop"]


def context():
    """Returns the multiprocessing context whose processes have TensorFlow imported."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(_PRELOADED)
    return forks


class Python:
    """A forked process, with what tests use of `subprocess.Popen`.

    Args:
        arguments: of `python`: `-m MODULE`, `-c CODE` or a file, and those of the program.
        stderr: PIPE, or STDOUT to write it to `stdout`.
        start_new_session: make the process the leader of a session.
        variables: added to the environment.
    """

    def __init__(
        self, arguments, stderr=subprocess.STDOUT, start_new_session=False, cwd=ROOT, **variables
    ):
        forks = context()
        self.stdout, out = _pipe(forks)
        self.stderr, error = (None, out) if stderr == subprocess.STDOUT else _pipe(forks)
        given = [os.fspath(argument) for argument in arguments], str(cwd), start_new_session
        environment = {**os.environ, **variables}
        self._process = forks.Process(target=_run, args=(out, error, environment, *given))
        self._process.start()
        self.pid = self._process.pid
        out.close()
        error.close()

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Waits for the end, and kills the process if it comes too late; output and errors."""
        streams = [stream for stream in (self.stdout, self.stderr) if stream]
        with ThreadPoolExecutor(len(streams)) as pool:
            reading = [pool.submit(stream.read) for stream in streams]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            found = [read.result() for read in reading]
        return (*found, None)[:2]

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()


def run(arguments, **options):
    """Runs a program to its end, like `subprocess.run` with its output captured."""
    process = Python(arguments, **options)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def check(arguments, **options):
    """Runs a program that must end with status 0; returns its output, without its errors."""
    result = run(arguments, stderr=subprocess.PIPE, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _pipe(forks):
    """Returns the reading end as a text file, and the writing end."""
    read, write = forks.Pipe(duplex=False)
    with read:
        return os.fdopen(os.dup(read.fileno()), encoding="utf-8"), write


def _run(out, error, environment, arguments, cwd, start_new_session):
    for number, end in ((1, out), (2, error)):
        os.dup2(end.fileno(), number)
    for end in {out, error}:
        end.close()
    if start_new_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    kind, *rest = arguments
    if kind == "-m":
        sys.path.insert(0, cwd)
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.path.insert(0, cwd)
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, str(Path(kind).parent))
        sys.argv = arguments
        runpy.run_path(kind, run_name="__main__")

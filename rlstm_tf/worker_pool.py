"""Runs tasks in worker processes; one that crashes affects no other task."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rlstm_tf.errors import DataError, UserError

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Crash:
    """Replaces the result of a task that ended two processes, the second while it ran alone.

    Attributes:
        exit_code: exit code of the second process; -n means killed by signal n.
    """

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            return f"signal {-self.exit_code}"
        return f"exit status {self.exit_code}"


def run_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], count: int
) -> Generator[tuple[Task, Result | Crash], None, None]:
    """Calls `function(task)` for every task in `count` processes; yields results as they finish.

    Replaces a process that dies (the decoder crashes, the kernel runs out of memory). Retries its
    task at the end, alone, in a process of its own.

    Args:
        function: importable by name. A `UserError` that it raises is raised here; any other
            exception is a bug, raised here as RuntimeError with the worker's traceback.
        tasks: picklable arguments, each taken from the iterable only when a process is free.
        count: number of processes, at least 1. None is started before there is a task for it.

    Raises:
        DataError: a process cannot be started, or dies before it takes a task.
    """
    crashed: list[Task] = []
    for task, result in _run_once(function, tasks, count):
        if isinstance(result, Crash):
            crashed.append(task)
        else:
            yield task, result
    for task in crashed:
        yield from _run_once(function, [task], 1)


def _run_once(
    function: Callable[[Task], Result], tasks: Iterable[Task], count: int
) -> Generator[tuple[Task, Result | Crash], None, None]:
    queue = iter(tasks)
    idle: list[_Worker] = []
    busy: dict[Any, _Worker] = {}
    try:
        while True:
            for task in itertools.islice(queue, count - len(busy)):
                worker = idle.pop() if idle else _Worker(function)
                worker.send(task)
                busy[worker.connection] = worker
            if not busy:
                return
            for connection in multiprocessing.connection.wait(list(busy)):
                worker = busy[connection]
                if not worker.ready:
                    worker.receive_ready()
                    continue
                del busy[connection]
                result = worker.receive()
                if not isinstance(result, Crash):
                    idle.append(worker)
                yield worker.task, result
    finally:
        for worker in [*idle, *busy.values()]:
            worker.stop()


class _Worker(Generic[Task, Result]):
    task: Task
    ready = False

    def __init__(self, function: Callable[[Task], Result]):
        # A forked copy of a process with threads (OpenCV's, TensorFlow's) may hang.
        context = multiprocessing.get_context("spawn")
        try:
            self.connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, function), daemon=True)
            self._process.start()
        except OSError as error:
            raise DataError(f"cannot start a decoding process: {error.strerror}") from None
        # Only the worker keeps its end open, so that it closes when the worker dies.
        theirs.close()

    def send(self, task: Task) -> None:
        self.task = task
        # If the worker died idle, `receive` notices.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def receive_ready(self) -> None:
        """Receives the first message; a process that dies before it did not die of its task."""
        answer = self.receive()
        if isinstance(answer, Crash):
            raise DataError(f"a decoding process ended before it started to work: {answer}")
        self.ready = True

    def receive(self) -> Result | Crash:
        try:
            result, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Crash(self._process.exitcode)
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _serve(connection: Any, function: Callable[[Any], Any]) -> None:
    # Ctrl-C reaches the whole process group; the parent handles it and stops the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # The other end closes when the parent is gone, even if it was killed.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send((None, None))  # ready
        while True:
            task = connection.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = function(task), None
            except UserError as error:
                answer = None, error
            except Exception:
                answer = None, RuntimeError("in a worker:\n" + traceback.format_exc())
            connection.send(answer)


def _exit_with_parent() -> None:
    """Ends this process when the parent is killed, even in the middle of a task.

    The next build then has the directory for itself and need not wait for a long video.
    """
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)

"""Worker processes with one task each at a time; one that dies takes no other task with it."""

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
class Died:
    """In place of a result: the task ended two processes, the second while it ran all alone.

    Attributes:
        exit_code: of the second; -n = killed by signal n.
    """

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            return f"signal {-self.exit_code}"
        return f"exit status {self.exit_code}"


def results(
    function: Callable[[Task], Result], tasks: Iterable[Task], count: int
) -> Generator[tuple[Task, Result | Died], None, None]:
    """Calls `function(task)` for every task in `count` processes; yields as they come.

    A process that dies (a decoder's crash, the kernel short of memory) is replaced. Its task is
    tried again when nothing else is left to do, alone, in a process of its own.

    Args:
        function: importable by name. A `UserError` that it raises is raised here; any other
            exception is a bug, raised here as RuntimeError with the worker's traceback.
        tasks: what is passed; each must pickle. Taken from the iterable only when there is a
            process for it.
        count: number of processes, at least 1. None is started before there is a task for it.

    Raises:
        DataError: a process cannot be started, or ends before it takes a task.
    """
    again: list[Task] = []
    for task, result in _together(function, tasks, count):
        if isinstance(result, Died):
            again.append(task)
        else:
            yield task, result
    for task in again:
        yield from _together(function, [task], 1)


def _together(
    function: Callable[[Task], Result], tasks: Iterable[Task], count: int
) -> Generator[tuple[Task, Result | Died], None, None]:
    waiting = iter(tasks)
    idle: list[_Worker] = []
    busy: dict[Any, _Worker] = {}
    try:
        while True:
            for task in itertools.islice(waiting, count - len(busy)):
                worker = idle.pop() if idle else _Worker(function)
                worker.give(task)
                busy[worker.connection] = worker
            if not busy:
                return
            for connection in multiprocessing.connection.wait(list(busy)):
                worker = busy[connection]
                if not worker.ready:
                    worker.meet()
                    continue
                del busy[connection]
                result = worker.answer()
                if not isinstance(result, Died):
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
            raise DataError(f"cannot start a process that decodes: {error.strerror}") from None
        # Now the worker's end is open in the worker alone: it closes when the worker dies.
        theirs.close()

    def give(self, task: Task) -> None:
        self.task = task
        # One that died idle is met by `answer`.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def meet(self) -> None:
        """Hears that the process has begun; it may have ended before, which is no task's doing."""
        answer = self.answer()
        if isinstance(answer, Died):
            raise DataError(f"a process that decodes ended before it began: {answer}")
        self.ready = True

    def answer(self) -> Result | Died:
        try:
            result, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Died(self._process.exitcode)
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _serve(connection: Any, function: Callable[[Any], Any]) -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it, and stops the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The other end closes when the parent is gone, even if it was killed.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        # That it has begun, and takes tasks from now on.
        connection.send((None, None))
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


def _end_with_parent() -> None:
    """Ends this process when the parent was killed, in the middle of a task.

    Whoever builds next has the directory for itself then, and need not wait for a long video.
    """
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)

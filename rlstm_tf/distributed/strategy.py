"""Devices of a run, in one process or several, and how batches reach them."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Any

import tensorflow as tf

from rlstm_tf.data.batch_schedule import ReplicaSlice
from rlstm_tf.distributed.startup_barrier import TIMEOUT_S, wait_for_workers
from rlstm_tf.distributed.tf_config import Worker, read_worker
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say

# Raised by a collective operation when another process has ended.
_LOST_WORKER_ERRORS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
_LOST_WORKER = (
    "another worker has ended, or cannot be reached: see its output, then start all workers again "
    "with --resume"
)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns the strategy for the devices to train on.

    Args:
        name: `"none"` (one device), `"mirrored"` (all GPUs of this machine, or all its logical CPU
            devices), `"auto"` (mirrored if there are several GPUs), `"multi_worker"` (mirrored over
            the processes in TF_CONFIG; waits until all have started, and must be called before
            TensorFlow computes anything).

    Raises:
        UsageError: TF_CONFIG is missing or wrong.
        DataError: the process cannot listen at its address, or another worker did not start.
    """
    if name == "multi_worker":
        return _make_multi_worker(read_worker(os.environ.get("TF_CONFIG")))
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _make_multi_worker(worker: Worker) -> tf.distribute.Strategy:
    name = f"worker {worker.index} of {worker.count}, at {worker.address}"
    say(f"{name}: waits for all workers")
    wait_for_workers(worker)
    try:
        with _killed_after(TIMEOUT_S):
            say(f"all have started: joins them, or exits after {TIMEOUT_S:g} s")
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0]
        raise DataError(f"{name}, cannot join the others: {reason}") from error


@contextlib.contextmanager
def _killed_after(timeout_s: float) -> Iterator[None]:
    """Ends the process with status 1 after `timeout_s`, and at once on SIGTERM or SIGINT.

    While TensorFlow waits for the others, up to an hour, it runs no Python, neither threads nor
    signal handlers: only C code can end the process.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with open(os.devnull, "w") as nowhere:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            for number, handler in before.items():
                signal.signal(number, handler)


def current_worker(strategy: tf.distribute.Strategy) -> Worker:
    """Returns this process's worker; without `multi_worker` it is the only one."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return read_worker(os.environ.get("TF_CONFIG"))
    return Worker(index=0, count=1, address="", chief="")


def distribute_batches(
    strategy: tf.distribute.Strategy, make_dataset: Callable[[ReplicaSlice], tf.data.Dataset]
) -> Any:
    """Distributes batches over this process's replicas, for `Strategy.run`.

    Args:
        strategy: returned by `make_strategy`.
        make_dataset: returns the slices of the batches for a process's replicas, in the order of
            `ReplicaSlice`.
    """

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        num_local = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * num_local
        return make_dataset(ReplicaSlice(context.num_replicas_in_sync, first, num_local))

    return strategy.distribute_datasets_from_function(make)


def assert_same(strategy: tf.distribute.Strategy, name: str, value: int) -> None:
    """Checks that all workers have the same number. Every worker must call it.

    Args:
        strategy: returned by `make_strategy`.
        name: name of the number, for the message.
        value: this process's number; fits into an int64.

    Raises:
        DataError: another process has another number.
    """
    found = set(_gather(strategy, value))
    if len(found) > 1:
        # If one worker ended here, another that still waits for its result would report a lost
        # worker instead of the difference: wait until all have theirs.
        with contextlib.suppress(DataError):
            _gather(strategy, value)
        raise DataError(f"the workers differ in the {name}: {' and '.join(map(str, found))}")


def any_worker(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Returns whether any worker passes True. Every worker must call it."""
    return any(_gather(strategy, int(flag)))


def _gather(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Returns the number that each process passes."""
    if current_worker(strategy).count == 1:
        return [value]
    with watch_workers(strategy):
        return _gather_function(strategy)(tf.constant([value], tf.int64)).numpy().tolist()


@functools.lru_cache(maxsize=1)
def _gather_function(strategy: tf.distribute.Strategy) -> Callable[[Any], Any]:
    return tf.function(lambda value: strategy.gather(strategy.run(lambda: value), axis=0))


@contextlib.contextmanager
def watch_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns TensorFlow's errors for a lost worker into a DataError.

    TensorFlow notices a process that has ended at once, and an unreachable one in about ten
    seconds, but its error only names the operation that failed.

    Raises:
        DataError: another process of the strategy has ended, or cannot be reached.
    """
    try:
        yield
    except _LOST_WORKER_ERRORS as error:
        if current_worker(strategy).count == 1:
            raise
        _close_pools(error)
        raise DataError(_LOST_WORKER) from error


def _close_pools(error: BaseException) -> None:
    """Closes the thread pools that a failed eager sum leaves open (Python warns at exit)."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, ThreadPool):
                value.close()

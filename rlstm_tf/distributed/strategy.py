"""Which devices a run uses, in one process or several, and how batches reach them."""

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

from rlstm_tf.data.batch_schedule import Division
from rlstm_tf.distributed.startup_barrier import SECONDS, meet
from rlstm_tf.distributed.tf_config import Worker, read_worker
from rlstm_tf.errors import DataError

# What a process meets in a step that another one no longer takes part in.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
_ENDED = (
    "another worker has ended, or cannot be reached: see what it said, then start all workers "
    "again with --resume"
)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The devices to train on.

    Args:
        name: `"none"` (one device), `"mirrored"` (all GPUs of this machine, or all its logical CPU
            devices), `"auto"` (mirrored where there are several GPUs), `"multi_worker"` (the same
            of several processes, as TF_CONFIG says; waits until all of them have started, and must
            come before anything is computed).

    Raises:
        UsageError: TF_CONFIG is missing or wrong.
        DataError: the process cannot listen at its address, or not all others have come.
    """
    if name == "multi_worker":
        return _multi_worker(read_worker(os.environ.get("TF_CONFIG")))
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _multi_worker(own: Worker) -> tf.distribute.Strategy:
    print(f"worker {own.index} of {own.count}, at {own.address}: waits for all", flush=True)
    meet(own)
    try:
        with _ended_after(SECONDS):
            print(f"all are here: joins them, or ends after {SECONDS:g} seconds", flush=True)
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0]
        raise DataError(
            f"worker {own.index} of {own.count}, at {own.address}, cannot join the others: {reason}"
        ) from error


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """While it lasts, SIGTERM and SIGINT end the process at once, and time does with status 1.

    Until all workers have joined, for an hour if one has ended, TensorFlow runs no other thread of
    Python and no function of a signal. Only what is done in C is heeded.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with open(os.devnull, "w") as nowhere:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            for number, handler in before.items():
                signal.signal(number, handler)


def worker(strategy: tf.distribute.Strategy) -> Worker:
    """Which of the processes of a strategy this is: the only one, but for `multi_worker`."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return read_worker(os.environ.get("TF_CONFIG"))
    return Worker(index=0, count=1, address="", chief="")


def distribute(
    strategy: tf.distribute.Strategy, make_dataset: Callable[[Division], tf.data.Dataset]
) -> Any:
    """The batches of this process's replicas, as `Strategy.run` takes them.

    Args:
        strategy: of `make_strategy`.
        make_dataset: makes the parts of the batches that a `Division` says, in its order.
    """

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * own
        return make_dataset(Division(context.num_replicas_in_sync, first, own))

    return strategy.distribute_datasets_from_function(make)


def check_same(strategy: tf.distribute.Strategy, name: str, value: int) -> None:
    """Refuses workers that would not do the same: all call this, and wait for each other.

    Args:
        strategy: of `make_strategy`.
        name: of the number, for the message.
        value: this process's; 64 bits.

    Raises:
        DataError: another process has another one.
    """
    found = set(_of_all(strategy, value))
    if len(found) > 1:
        raise DataError(f"the workers differ in the {name}: {' and '.join(map(str, found))}")


def any_worker(strategy: tf.distribute.Strategy, wish: bool) -> bool:
    """Whether any process has this wish: all call this, and wait for each other."""
    return any(_of_all(strategy, int(wish)))


def _of_all(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """The number of every process."""
    if worker(strategy).count == 1:
        return [value]
    with workers_watched(strategy):
        return _gathering(strategy)(tf.constant([value], tf.int64)).numpy().tolist()


@functools.lru_cache(maxsize=1)
def _gathering(strategy: tf.distribute.Strategy) -> Callable[[Any], Any]:
    return tf.function(lambda value: strategy.gather(strategy.run(lambda: value), axis=0))


@contextlib.contextmanager
def workers_watched(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """In this context, the end of another worker is a `DataError`.

    TensorFlow finds a process that has ended at once, and in about ten seconds one that is no
    longer heard of, but names it by whatever broke first.

    Raises:
        DataError: another process of the strategy has ended, or cannot be reached.
    """
    try:
        yield
    except _LOST as error:
        if worker(strategy).count == 1:
            raise
        _close_pools(error)
        raise DataError(_ENDED) from error


def _close_pools(error: BaseException) -> None:
    """An eager sum that fails leaves its pool of threads open: Python complains when it ends."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, ThreadPool):
                value.close()

"""`batches` as a `tf.data.Dataset`: made in parallel, ahead of their use, errors left whole.

A batch is one call into Python, which fills one array that TensorFlow then takes over; inside, the
threads of a pool take its videos one after the other. A call for every video, and `Dataset.batch`
behind it, costs a tenth of the speed: TensorFlow's way into Python and back, and two more copies.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import weakref
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2
import tensorflow as tf

from rlstm_tf.data.batches import (
    Batch,
    InputConfig,
    evaluation_batch,
    steps_per_epoch,
    training_batch,
)
from rlstm_tf.data.shards import Shards

__all__ = [
    "InputConfig",
    "checked",
    "evaluation_batches",
    "steps_per_epoch",
    "training_batches",
]

# While the last videos of one batch are made, other threads begin the next.
_BATCHES_AT_ONCE = 2


def training_batches(
    shards: Shards,
    config: InputConfig,
    first_step: int = 0,
    num_steps: int | None = None,
    num_threads: int | None = None,
) -> tf.data.Dataset:
    """Batches of a training run from a step on; see `batches.training_batch`.

    Args:
        shards: a subset.
        config: see there.
        first_step: step of the run that the first batch belongs to.
        num_steps: batches; None = without end.
        num_threads: that read and decode; None = one for every core. Changes no batch.

    Returns:
        `frames` uint8 [B, T, S, S, C], RGB, 0..255; `label` int32 [B]; `video` int64 [B]: positions
        in `shards`. Iterate it through `checked`.

    Raises:
        UsageError: there are fewer videos than one batch takes.
    """
    # Here, not in the first call, where no one would catch it.
    steps_per_epoch(shards, config.batch_size)
    steps = tf.data.Dataset.counter(first_step)
    if num_steps is not None:
        steps = steps.take(num_steps)
    workers = _workers(num_threads or _num_cores())
    return _dataset(
        steps,
        lambda step: training_batch(shards, config, step, workers.run),
        shards,
        (config.batch_size, *config.video_shape),
    )


def evaluation_batches(
    shards: Shards,
    config: InputConfig,
    num_groups: int = 1,
    num_crops: int = 1,
    num_threads: int | None = None,
) -> tf.data.Dataset:
    """Every video once, V = num_groups * num_crops views of each; see `batches.evaluation_batch`.

    Args:
        shards: a subset.
        config: see there; what concerns training is not used.
        num_groups: 1 for the middle of each segment, 4 in the paper's test.
        num_crops: 1 for the centre, 5 for the corners too.
        num_threads: that read and decode; None = one for every core.

    Returns:
        `frames` uint8 [B, V, T, S, S, C], RGB, 0..255; `label` int32 [B]; `video` int64 [B]:
        positions in `shards`, -1 in the rows of zeros that fill the last batch. Iterate it through
        `checked`.
    """
    workers = _workers(num_threads or _num_cores())
    return _dataset(
        tf.data.Dataset.range(-(-len(shards) // config.batch_size)),
        lambda step: evaluation_batch(shards, config, step, num_groups, num_crops, workers.run),
        shards,
        (config.batch_size, num_groups * num_crops, *config.video_shape),
    )


def checked(batches: Iterable[Any], shards: Shards) -> Generator[Any, None, None]:
    """Iterates a dataset of this module, and raises what went wrong in it as it was raised there.

    TensorFlow turns an exception in one of its threads into an `UnknownError` that holds a printed
    traceback; here the caller sees the `DataError` itself.

    Args:
        batches: of `training_batches` or `evaluation_batches`, distributed over replicas or not.
        shards: what they were made from.
    """
    generator = _raising_originals(batches, shards)
    _iterating.add(generator)
    return generator


def _raising_originals(batches: Iterable[Any], shards: Shards) -> Generator[Any, None, None]:
    try:
        yield from batches
    except tf.errors.OpError:
        if shards.failure is None:
            raise
        failure, shards.failure = shards.failure, None
        raise failure from None


# A thread of TensorFlow's that is inside Python while the interpreter goes away takes the process
# down with it (status 134), whatever the program's own exit status: so none may be left then.
_iterating: weakref.WeakSet[Generator] = weakref.WeakSet()


@atexit.register
def _stop_iterating() -> None:
    for generator in list(_iterating):
        generator.close()
    gc.collect()


class _Workers:
    """Threads that share the videos of a batch; OpenCV and zlib leave Python's lock to others."""

    def __init__(self, num_threads: int):
        # OpenCV's own threads would only take turns with these.
        cv2.setNumThreads(0)
        self._count = num_threads
        self._pool = ThreadPoolExecutor(num_threads, f"input-of-{num_threads}")

    def run(self, work: Callable[[int], None], count: int) -> None:
        """A `batches.Run`."""
        # Threads take the next row when they are done with one; next() on a counter is atomic.
        rows = itertools.count()

        def work_on() -> None:
            while (row := next(rows)) < count:
                work(row)

        for done in [self._pool.submit(work_on) for _ in range(min(self._count, count))]:
            done.result()


@cache
def _workers(num_threads: int) -> _Workers:
    """One pool for all datasets: TensorFlow never lets go of a function it was given."""
    return _Workers(num_threads)


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _dataset(
    steps: tf.data.Dataset,
    make: Callable[[int], Batch],
    shards: Shards,
    frames_shape: tuple[int, ...],
) -> tf.data.Dataset:
    """A dataset of make(step), in order, with static shapes."""

    def call(step: Any) -> tuple[Any, Any, Any]:
        try:
            batch = make(int(step))
        except Exception as error:
            shards.failure = shards.failure or error
            raise
        return batch["frames"], batch["label"], batch["video"]

    def batch_of(step: tf.Tensor) -> dict[str, tf.Tensor]:
        types = (tf.uint8, tf.int32, tf.int64)
        frames, label, video = tf.numpy_function(call, [step], types, stateful=False)
        return {
            "frames": tf.ensure_shape(frames, frames_shape),
            "label": tf.ensure_shape(label, frames_shape[:1]),
            "video": tf.ensure_shape(video, frames_shape[:1]),
        }

    options = tf.data.Options()
    # The batches are those of all workers together; files, by which TensorFlow would divide them
    # among machines, it does not see.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # The calls wait for the pool: in threads of their own, not in those that compute.
    options.threading.private_threadpool_size = _BATCHES_AT_ONCE
    options.autotune.enabled = False
    dataset = steps.map(batch_of, num_parallel_calls=_BATCHES_AT_ONCE, deterministic=True)
    return dataset.prefetch(1).with_options(options)

"""Batches as a `tf.data.Dataset`, made in parallel and prefetched; keeps Python exceptions.

In training, one Python call fills the array of a replica's slice, which TensorFlow takes over. One
call per video and `Dataset.batch` would be a tenth slower: more calls, and another copy. In
evaluation, where a video may be twenty views of 8 megabytes, one call makes one video.

The calls share no lock. Python's garbage collector may run inside one of them and destroy an
iterator, which waits for that iterator's calls; these must be able to finish. A thread pool, which
would also spread one batch over the cores, deadlocks there.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import cv2
import tensorflow as tf

from rlstm_tf.data.batch_schedule import ALL, EpochSchedule, ReplicaSlice
from rlstm_tf.data.batches import Batch, evaluation_example, training_rows, training_shape
from rlstm_tf.data.input_config import InputConfig, check_shards
from rlstm_tf.data.memory import BufferPool
from rlstm_tf.data.protocols import CENTER, Protocol
from rlstm_tf.data.shards import Shards

__all__ = [
    "InputConfig",
    "check_shards",
    "evaluation_batches",
    "iterate",
    "training_batches",
]


def training_batches(
    shards: Shards,
    config: InputConfig,
    first_step: int = 0,
    num_steps: int | None = None,
    num_threads: int | None = None,
    replicas: ReplicaSlice = ALL,
) -> tf.data.Dataset:
    """Makes the batches of a training run from a step on.

    Args:
        shards: shards of the training subset.
        config: batch options.
        first_step: step of the run that the first batch belongs to.
        num_steps: number of batches; None: unlimited.
        num_threads: slices that are made, and held in memory, at the same time; None: one per core.
            Does not change the batches.
        replicas: the rows of each batch to make; default: all.

    Returns:
        Slices of R rows in the order of `replicas`, with the entries of `batches.training_rows`.
        Use `iterate` to iterate over it.

    Raises:
        DataError: the shards do not fit the config (`check_shards`).
        UsageError: a batch has more rows than there are samples, or cannot be divided.
    """
    # Checked here: an error raised in a TensorFlow thread could not be caught.
    EpochSchedule(len(shards.samples), config.batch_size)
    check_shards(shards, config)
    size = replicas.rows_per_replica(config.batch_size)
    slices = tf.data.Dataset.counter(first_step * replicas.num_local)
    if num_steps is not None:
        slices = slices.take(num_steps * replicas.num_local)
    shape = (size, *training_shape(shards, config))
    signature = {
        "frames": (tf.uint8, shape),
        "label": (tf.int32, (size,)),
        "video": (tf.int64, (size,)),
    }
    if config.augment_on == "device":
        signature |= {"box": (tf.int32, (size, 4)), "flip": (tf.bool, (size,))}
        if config.color_jitter:
            signature["colors"] = (tf.float32, (size, 3, 4))
        if config.random_erasing:
            signature["erased"] = (tf.int32, (size, 4))
    if config.mixup:
        signature["share"] = (tf.float32, (size,))
    buffers = BufferPool(shape)

    def make_rows(number: int) -> Batch:
        first = replicas.offset(number, config.batch_size)
        return training_rows(shards, config, first, size, buffers.empty())

    dataset = map_parallel(slices, make_rows, shards, signature, num_threads)
    return dataset.prefetch(replicas.num_local)


def evaluation_batches(
    shards: Shards,
    config: InputConfig,
    protocol: Protocol = CENTER,
    num_threads: int | None = None,
    replicas: ReplicaSlice = ALL,
) -> tf.data.Dataset:
    """Makes the V views of every video, each video once.

    Args:
        shards: shards of the subset.
        config: batch options; those of training are ignored.
        protocol: the views to make; default: the middle of each segment.
        num_threads: videos that are made at the same time; None: one per core.
        replicas: the rows of each batch to make; default: all. All processes take the same number
            of steps.

    Returns:
        Slices of R rows in the order of `replicas`: `frames` uint8 [R, V, T, S, S, C], RGB 0..255
        or flow levels; `video` int64 [R], positions in `shards`, or -1 for the rows of zeros that
        pad the last batch. Use `iterate` to iterate over it.

    Raises:
        DataError: the shards do not fit the config (`check_shards`).
        UsageError: a batch cannot be divided.
    """
    check_shards(shards, config)
    size = replicas.rows_per_replica(config.batch_size)
    num_slices = -(-len(shards) // config.batch_size) * replicas.num_local

    def make_example(row: int) -> Batch:
        number, offset = divmod(row, size)
        position = replicas.offset(number, config.batch_size) + offset
        return evaluation_example(shards, config, position, protocol)

    dataset = map_parallel(
        tf.data.Dataset.range(num_slices * size),
        make_example,
        shards,
        {
            "frames": (tf.uint8, (protocol.num_views, *config.video_shape)),
            "video": (tf.int64, ()),
        },
        num_threads,
    )
    return dataset.batch(size, drop_remainder=True).prefetch(replicas.num_local)


def iterate(batches: Iterable[Any], shards: Shards) -> Generator[Any, None, None]:
    """Iterates over batches, and raises the original exception if making one fails.

    TensorFlow turns an exception in one of its threads into an `UnknownError` that holds a printed
    traceback; this raises the `DataError` itself. It stops all threads when the caller leaves the
    iteration early.

    Args:
        batches: dataset from `training_batches` or `evaluation_batches`, distributed or not.
        shards: the shards that it was made from.
    """
    generator = _raise_originals(batches, shards)
    _active.add(generator)
    return generator


def _raise_originals(batches: Iterable[Any], shards: Shards) -> Generator[Any, None, None]:
    iterator = iter(batches)
    failure = None
    try:
        yield from iterator
        return
    except GeneratorExit:
        pass
    except tf.errors.OpError:
        failure, shards.failure = shards.failure, None
        if failure is None:
            raise
    # The iterator's destructor waits for its Python calls. If the garbage collector ran it inside
    # one of them, the call would wait for itself: so destroy it here.
    with _gc_disabled():
        del iterator
        gc.collect()
    # Errors of prefetched batches must not fail the next iteration.
    shards.failure = None
    if failure is not None:
        try:
            raise failure
        finally:
            # Breaks the reference cycle of exception and frame.
            del failure


@contextlib.contextmanager
def _gc_disabled() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# A TensorFlow thread that is inside Python while the interpreter exits crashes or hangs the
# process, so all iterations are closed before.
_active: weakref.WeakSet[Generator] = weakref.WeakSet()


@atexit.register
def _close_active() -> None:
    for generator in list(_active):
        generator.close()


def map_parallel(
    numbers: tf.data.Dataset,
    make: Callable[[int], Batch],
    shards: Shards,
    signature: dict[str, tuple[tf.DType, tuple[int, ...]]],
    num_threads: int | None,
) -> tf.data.Dataset:
    """Returns a dataset of make(number), in order; `signature`: type and shape of each entry."""
    # OpenCV's own threads would compete with the calls.
    cv2.setNumThreads(0)
    types = [dtype for dtype, _ in signature.values()]

    def call(number: Any) -> list[Any]:
        try:
            made = make(int(number))
            return [made[name] for name in signature]
        except Exception as error:
            shards.failure = shards.failure or error
            raise

    def call_from_graph(number: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.numpy_function(call, [number], types, stateful=False)
        return {
            name: tf.ensure_shape(value, shape)
            for value, (name, (_, shape)) in zip(values, signature.items())
        }

    num_threads = num_threads or _num_cores()
    options = tf.data.Options()
    # The calls must not occupy TensorFlow's compute threads.
    options.threading.private_threadpool_size = num_threads
    options.autotune.enabled = False
    dataset = numbers.map(call_from_graph, num_parallel_calls=num_threads, deterministic=True)
    return dataset.with_options(options)


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

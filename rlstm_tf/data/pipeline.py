"""`batches` as a `tf.data.Dataset`: made in parallel, ahead of their use, errors left whole.

A replica's part of a training batch is one call into Python, which fills one array that TensorFlow
then takes over. A call for every video, and `Dataset.batch` behind it, costs a tenth of the speed:
TensorFlow's way into Python and back, and another copy. In evaluation a video may be twenty views
of 8 megabytes; there a call makes one video.

The calls share no lock. Python's collector may run inside of any of them and destroy an iterator
that something had kept alive; that waits for the calls of that iterator, which must then be able to
end. A pool of threads, which would also spread one batch over the cores, gets stuck there.
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
    """Batches of a training run from a step on; see `batches.training_rows`.

    Args:
        shards: a subset.
        config: see there.
        first_step: step of the run that the first batch belongs to.
        num_steps: batches; None = without end.
        num_threads: parts that are in the making at once, and in memory; None = one for every
            core. Changes no batch.
        division: which rows of each batch; all, if not given.

    Returns:
        Parts of R rows in the order of `division`, as `batches.training_rows` makes them. Iterate
        it through `iterate`.

    Raises:
        DataError: the shards do not have what is asked for: see `check_shards`.
        UsageError: there are fewer samples than one batch takes, or a batch cannot be divided.
    """
    # Here, not in the first call, where no one would catch it.
    EpochSchedule(len(shards.samples), config.batch_size)
    check_shards(shards, config)
    size = replicas.rows_per_replica(config.batch_size)
    parts = tf.data.Dataset.counter(first_step * replicas.num_local)
    if num_steps is not None:
        parts = parts.take(num_steps * replicas.num_local)
    shape = (size, *training_shape(shards, config))
    signature = {
        "frames": (tf.uint8, shape),
        "label": (tf.int32, (size,)),
        "video": (tf.int64, (size,)),
    }
    if config.augment_on == "device":
        signature |= {"box": (tf.int32, (size, 4)), "flip": (tf.bool, (size,))}
    memory = BufferPool(shape)

    def rows(part: int) -> Batch:
        first = replicas.offset(part, config.batch_size)
        return training_rows(shards, config, first, size, memory.empty())

    return _made(parts, rows, shards, signature, num_threads).prefetch(replicas.num_local)


def evaluation_batches(
    shards: Shards,
    config: InputConfig,
    protocol: Protocol = CENTER,
    num_threads: int | None = None,
    replicas: ReplicaSlice = ALL,
) -> tf.data.Dataset:
    """Every video once, V views of each; see `batches.evaluation_example`.

    Args:
        shards: a subset.
        config: see there; what concerns training is not used.
        protocol: which views; one, the middle of each segment, if not given.
        num_threads: videos that are in the making at once; None = one for every core.
        division: which rows of each batch; all, if not given. All processes take equally many
            steps.

    Returns:
        Parts of R rows in the order of `division`: `frames` uint8 [R, V, T, S, S, C]: RGB 0..255,
        or levels of flow; `video` int64 [R]: positions in `shards`, -1 in the rows of zeros that
        fill the last batch. Iterate it through `iterate`.

    Raises:
        DataError: the shards do not have what is asked for: see `check_shards`.
        UsageError: a batch cannot be divided.
    """
    check_shards(shards, config)
    size = replicas.rows_per_replica(config.batch_size)
    num_parts = -(-len(shards) // config.batch_size) * replicas.num_local

    def example(row: int) -> Batch:
        part, offset = divmod(row, size)
        position = replicas.offset(part, config.batch_size) + offset
        return evaluation_example(shards, config, position, protocol)

    dataset = _made(
        tf.data.Dataset.range(num_parts * size),
        example,
        shards,
        {
            "frames": (tf.uint8, (protocol.num_views, *config.video_shape)),
            "video": (tf.int64, ()),
        },
        num_threads,
    )
    return dataset.batch(size, drop_remainder=True).prefetch(replicas.num_local)


def iterate(batches: Iterable[Any], shards: Shards) -> Generator[Any, None, None]:
    """Iterates a dataset of this module, and raises what went wrong in it as it was raised there.

    TensorFlow turns an exception in one of its threads into an `UnknownError` that holds a printed
    traceback; here the caller sees the `DataError` itself. An iteration that is left early is ended
    for good: no thread goes on with it.

    Args:
        batches: of `training_batches` or `evaluation_batches`, distributed over replicas or not.
        shards: what they were made from.
    """
    generator = _raising_originals(batches, shards)
    _iterating.add(generator)
    return generator


def _raising_originals(batches: Iterable[Any], shards: Shards) -> Generator[Any, None, None]:
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
    # An iterator that still works waits, when it is destroyed, for its calls into Python. If the
    # collector did that inside of one of them, the call would wait for itself: so here and now.
    with _no_other_collection():
        del iterator
        gc.collect()
    # What the calls that ran ahead have met is no failure of the next iteration.
    shards.failure = None
    if failure is not None:
        try:
            raise failure
        finally:
            # The exception knows this frame; as long as the frame knew it, neither would go.
            del failure


@contextlib.contextmanager
def _no_other_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# A thread of TensorFlow's that is inside Python while the interpreter goes away takes the process
# down with it, or hangs it, whatever the program's own exit status: so none may be left then.
_iterating: weakref.WeakSet[Generator] = weakref.WeakSet()


@atexit.register
def _stop_iterating() -> None:
    for generator in list(_iterating):
        generator.close()


def _made(
    numbers: tf.data.Dataset,
    make: Callable[[int], Batch],
    shards: Shards,
    signature: dict[str, tuple[tf.DType, tuple[int, ...]]],
    num_threads: int | None,
) -> tf.data.Dataset:
    """A dataset of make(number), in order; `signature` has the type and shape of each entry."""
    # Its own threads would only take turns with the calls.
    cv2.setNumThreads(0)
    types = [dtype for dtype, _ in signature.values()]

    def call(number: Any) -> list[Any]:
        try:
            made = make(int(number))
            return [made[name] for name in signature]
        except Exception as error:
            shards.failure = shards.failure or error
            raise

    def tensors(number: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.numpy_function(call, [number], types, stateful=False)
        return {
            name: tf.ensure_shape(value, shape)
            for value, (name, (_, shape)) in zip(values, signature.items())
        }

    num_threads = num_threads or _num_cores()
    options = tf.data.Options()
    # In threads of their own, not in those that compute.
    options.threading.private_threadpool_size = num_threads
    options.autotune.enabled = False
    dataset = numbers.map(tensors, num_parallel_calls=num_threads, deterministic=True)
    return dataset.with_options(options)


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

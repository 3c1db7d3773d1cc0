"""Checks that buffers are reused, but never while they are in use."""

import numpy as np
import pytest
from small_shards import write_shards

from rlstm_tf.data import batches, pipeline
from rlstm_tf.data.memory import BufferPool
from rlstm_tf.data.pipeline import InputConfig
from rlstm_tf.data.shards import Shards


def address(array):
    return array.__array_interface__["data"][0]


def test_buffer_of_a_freed_array_is_reused():
    pool = BufferPool((3, 5, 7))
    first, second = pool.empty(), pool.empty()
    assert first.shape == (3, 5, 7)
    assert first.dtype == np.uint8
    assert address(first) % 64 == address(second) % 64 == 0
    assert not np.shares_memory(first, second)
    freed = address(first)
    del first
    third = pool.empty()
    assert address(third) == freed
    assert not np.shares_memory(second, third)


def test_pool_has_no_more_buffers_than_were_in_use_at_once():
    pool = BufferPool((1000,))
    seen = set()
    for _ in range(50):
        held = [pool.empty() for _ in range(3)]
        seen |= {address(array) for array in held}
        del held
    assert len(seen) == 3


def test_array_outlives_its_pool():
    array = BufferPool((4,)).empty()
    array[...] = 7
    np.testing.assert_array_equal(array, 7)


@pytest.mark.parametrize("augment_on", ["host", "device"])
def test_kept_batches_are_not_overwritten(tmp_path, augment_on):
    """Keeps arrays that share the memory of freed tensors."""
    write_shards(tmp_path / "shards", [5, 12, 7, 9], num_shards=1, frames_per_record=6)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    config = InputConfig(batch_size=2, num_segments=3, image_size=32, augment_on=augment_on)
    dataset = pipeline.training_batches(shards, config, num_steps=24, num_threads=2)
    kept, addresses = [], set()
    for step, batch in enumerate(pipeline.iterate(dataset, shards)):
        frames = batch["frames"].numpy()
        addresses.add(address(frames))
        if step < 5:
            kept.append(frames)
    for step, frames in enumerate(kept):
        expected = batches.training_rows(shards, config, 2 * step, 2)
        np.testing.assert_array_equal(frames, expected["frames"])
    assert len(kept) == 5 <= len(addresses) < 24

"""Memory of batches that is used again, and never while someone still looks at it."""

import numpy as np
import pytest
from small_shards import write_shards

from rlstm_tf.data import batches, pipeline
from rlstm_tf.data.memory import BufferPool
from rlstm_tf.data.pipeline import InputConfig
from rlstm_tf.data.shards import Shards


def address(array):
    return array.__array_interface__["data"][0]


def test_of_an_array_that_is_gone():
    recycled = BufferPool((3, 5, 7))
    first, second = recycled.empty(), recycled.empty()
    assert first.shape == (3, 5, 7)
    assert first.dtype == np.uint8
    assert address(first) % 64 == address(second) % 64 == 0
    assert not np.shares_memory(first, second)
    was = address(first)
    del first
    third = recycled.empty()
    assert address(third) == was
    assert not np.shares_memory(second, third)


def test_no_more_than_were_there_at_once():
    recycled = BufferPool((1000,))
    seen = set()
    for _ in range(50):
        held = [recycled.empty() for _ in range(3)]
        seen |= {address(array) for array in held}
        del held
    assert len(seen) == 3


def test_an_array_may_outlive_what_made_it():
    array = BufferPool((4,)).empty()
    array[...] = 7
    np.testing.assert_array_equal(array, 7)


@pytest.mark.parametrize("augment_on", ["host", "device"])
def test_batches_that_are_kept_stay_what_they_are(tmp_path, augment_on):
    """Kept as arrays, which share the memory of tensors that are gone."""
    write_shards(tmp_path / "shards", [5, 12, 7, 9], num_shards=1, frames_per_record=6)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    config = InputConfig(batch_size=2, num_segments=3, image_size=32, augment_on=augment_on)
    dataset = pipeline.training_batches(shards, config, num_steps=24, num_threads=2)
    kept, passed = [], set()
    for step, batch in enumerate(pipeline.iterate(dataset, shards)):
        frames = batch["frames"].numpy()
        passed.add(address(frames))
        if step < 5:
            kept.append(frames)
    for step, frames in enumerate(kept):
        expected = batches.training_rows(shards, config, 2 * step, 2)
        np.testing.assert_array_equal(frames, expected["frames"])
    assert len(kept) == 5 <= len(passed) < 24

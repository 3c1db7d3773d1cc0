"""Where epochs end: against counting one sample after the other."""

import pytest

from rlstm_tf.data.batch_schedule import Epochs
from rlstm_tf.errors import UsageError


@pytest.mark.parametrize(("num_samples", "batch_size"), [(8, 4), (11, 4), (7, 7), (5, 4), (9, 1)])
def test_against_counting(num_samples, batch_size):
    epochs = Epochs(num_samples, batch_size)
    first_of = [step * batch_size // num_samples for step in range(60)]
    for epoch in range(5):
        counted = [step for step in range(60) if first_of[step] == epoch]
        assert epochs.steps(epoch) == len(counted) >= 1
        assert epochs.end(epoch) == counted[-1] + 1
        # All its samples have been seen then, and not yet a whole batch of the next epoch.
        assert 0 <= epochs.end(epoch) * batch_size - (epoch + 1) * num_samples < batch_size
    assert epochs.end(-1) == 0


@pytest.mark.parametrize("batch_size", [0, 6])
def test_a_batch_of_more_than_there_are(batch_size):
    with pytest.raises(UsageError, match=rf"batch_size={batch_size}: must be from 1 to the 5"):
        Epochs(5, batch_size)

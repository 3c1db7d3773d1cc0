"""Steps of epochs and slices of replicas, compared with counting one by one."""

import pytest

from rlstm_tf.data.batch_schedule import ALL, EpochSchedule, ReplicaSlice
from rlstm_tf.errors import UsageError


@pytest.mark.parametrize(("num_samples", "batch_size"), [(8, 4), (11, 4), (7, 7), (5, 4), (9, 1)])
def test_epochs_end_where_counting_ends_them(num_samples, batch_size):
    epochs = EpochSchedule(num_samples, batch_size)
    epoch_of_step = [step * batch_size // num_samples for step in range(60)]
    for epoch in range(5):
        steps = [step for step in range(60) if epoch_of_step[step] == epoch]
        assert epochs.num_steps(epoch) == len(steps) >= 1
        assert epochs.end_step(epoch) == steps[-1] + 1
        # All its samples were shown, and less than a batch of the next epoch.
        assert 0 <= epochs.end_step(epoch) * batch_size - (epoch + 1) * num_samples < batch_size
    assert epochs.end_step(-1) == 0


@pytest.mark.parametrize("batch_size", [0, 6])
def test_batch_larger_than_an_epoch_is_refused(batch_size):
    with pytest.raises(UsageError, match=rf"batch_size={batch_size}: must be from 1 to the 5"):
        EpochSchedule(5, batch_size)


@pytest.mark.parametrize(("processes", "num_local"), [(1, 1), (1, 4), (2, 1), (3, 2), (6, 1)])
def test_slices_cover_all_rows_once_in_order(processes, num_local):
    batch_size, steps = 12, 3
    slices = [
        ReplicaSlice(processes * num_local, process * num_local, num_local)
        for process in range(processes)
    ]
    rows = []
    for step in range(steps):
        for own in slices:
            for replica in range(num_local):
                offset = own.offset(step * num_local + replica, batch_size)
                rows.extend(range(offset, offset + own.rows_per_replica(batch_size)))
    assert rows == list(range(steps * batch_size))


def test_one_replica_takes_whole_batches():
    assert [ALL.offset(number, 5) for number in range(3)] == [0, 5, 10]
    assert ALL.rows_per_replica(5) == 5


def test_indivisible_batch_is_refused():
    with pytest.raises(UsageError, match="batch_size=10 is not a multiple of 4 replicas"):
        ReplicaSlice(4, 2, 2).rows_per_replica(10)

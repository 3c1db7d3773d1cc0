"""Division of batches among processes, as a function of numbers alone."""

import pytest

from rlstm_tf.data.batch_schedule import WHOLE, Division
from rlstm_tf.errors import UsageError


@pytest.mark.parametrize(("processes", "own"), [(1, 1), (1, 4), (2, 1), (3, 2), (6, 1)])
def test_all_rows_of_every_step_once_and_in_order(processes, own):
    batch_size, steps = 12, 3
    divisions = [Division(processes * own, process * own, own) for process in range(processes)]
    rows = []
    for step in range(steps):
        for division in divisions:
            for replica in range(own):
                place = division.place(step * own + replica, batch_size)
                rows.extend(range(place, place + division.rows(batch_size)))
    assert rows == list(range(steps * batch_size))


def test_one_device_makes_whole_batches():
    assert [WHOLE.place(part, 5) for part in range(3)] == [0, 5, 10]
    assert WHOLE.rows(5) == 5


def test_a_batch_that_cannot_be_divided():
    with pytest.raises(UsageError, match="batch_size=10 is no multiple of 4 replicas"):
        Division(4, 2, 2).rows(10)

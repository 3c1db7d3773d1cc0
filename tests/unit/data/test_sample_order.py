"""Balanced sampling: each class equally often, as a function of seed, epoch and position."""

from collections import Counter

import numpy as np
import pytest
from small_shards import write_shards

from rlstm_tf.data import batches
from rlstm_tf.data.batch_schedule import ReplicaSlice
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.sample_draw import draw_sample
from rlstm_tf.data.sample_order import SampleClasses, balanced_order
from rlstm_tf.data.shards import Shards

# 20 samples of class 7, 3 of class 2, 1 of class 0.
LABELS = np.array([7] * 9 + [2] + [7] * 6 + [0, 2] + [7] * 5 + [2])

GOLDEN = [[1, 0, 2], [2, 0, 0]]


def order(epoch, seed=0, labels=LABELS):
    return balanced_order(SampleClasses(labels), seed, epoch)


def test_each_class_is_shown_equally_often():
    counts = [Counter(LABELS[order(epoch)].tolist()) for epoch in range(5)]
    assert counts == [{0: 8, 2: 8, 7: 8}] * 5


def test_what_is_left_over_goes_to_the_classes_in_turn():
    labels = LABELS[:-1]
    total = Counter()
    for epoch in range(6):
        shown = Counter(labels[order(epoch, labels=labels)].tolist())
        assert sum(shown.values()) == 23
        assert set(shown.values()) == {7, 8}
        total += shown
        assert max(total.values()) - min(total.values()) <= 1
    assert total == {0: 46, 2: 46, 7: 46}


def test_the_samples_of_a_class_are_shown_equally_often():
    shown = np.zeros(len(LABELS), int)
    for epoch in range(7):
        np.add.at(shown, order(epoch), 1)
        for label in (0, 2, 7):
            own = shown[label == LABELS]
            assert own.max() - own.min() <= 1
    # Two epochs show 16 of the 20 before any comes again.
    large = [n for epoch in range(2) for n in order(epoch) if LABELS[n] == 7]
    assert len(set(large)) == 16


def test_an_order_is_a_function_of_seed_and_epoch():
    assert order(3).tolist() == order(3).tolist()
    assert len({tuple(order(epoch, seed)) for epoch in range(4) for seed in range(4)}) == 16
    assert order(0, labels=np.array([1, 0, 0])).tolist() == GOLDEN[0]
    assert order(1, labels=np.array([1, 0, 0])).tolist() == GOLDEN[1]
    with pytest.raises(ValueError, match="read-only"):
        order(0)[0] = 1


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("balanced") / "shards"
    write_shards(directory, [5] * 8, labels=[0, 1, 1, 1, 1, 1, 1, 2])
    return Shards.open(str(directory), "train")


def test_rows_of_a_run(shards):
    """Batches of any size, of any replicas, from any step on, are the same sequence."""
    config = InputConfig(batch_size=4, num_segments=2, image_size=16, sampling="balanced")
    whole = batches.training_rows(shards, config, 0, 24)
    assert Counter(whole["label"].tolist()) == {0: 8, 1: 8, 2: 8}
    np.testing.assert_array_equal(whole["label"], shards.labels[whole["video"]])
    for name, replicas in (("first", ReplicaSlice(2, 0, 1)), ("second", ReplicaSlice(2, 1, 1))):
        for step in (0, 3, 5):
            first = replicas.offset(step, 4)
            own = batches.training_rows(shards, config, first, 2)
            for entry, rows in own.items():
                np.testing.assert_array_equal(rows, whole[entry][first : first + 2], name)
    uniform = batches.training_rows(shards, InputConfig(4, 2, 16), 0, 8)
    assert Counter(uniform["label"].tolist()) == {0: 1, 1: 6, 2: 1}


def test_several_labels(tmp_path):
    """A sample has one label, so actions are balanced where a video has several."""
    actions = [[(0, 0, 4), (1, 2, 3)], [(1, 0, 5)], [(1, 1, 2), (1, 0, 5), (2, 0, 1)]]
    write_shards(tmp_path / "shards", [5] * 3, actions=actions, multi_label=True)
    found = Shards.open(str(tmp_path / "shards"), "train")
    config = InputConfig(batch_size=3, num_segments=2, image_size=16, sampling="balanced")
    labels = [draw_sample(found, config, 0, n).label for n in range(6)]
    assert Counter(labels) == {0: 2, 1: 2, 2: 2}

"""Weights of classes, and the scores of classes at the end of a training."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_shards import write_shards
from trainings import error_of, train_here

from rlstm_tf.evaluation import metrics
from rlstm_tf.training.inputs import balanced_weights
from rlstm_tf.training.validation import format_class_scores


def test_balanced_weights():
    labels = np.array([0] * 5 + [2] * 4 + [3])
    weights = balanced_weights(labels, 5)
    # 10 videos, 3 classes.
    np.testing.assert_allclose(weights, [10 / 15, 0, 10 / 12, 10 / 3, 0])
    assert weights[labels].mean() == pytest.approx(1)
    np.testing.assert_array_equal(balanced_weights(np.array([0, 1, 1, 0]), 2), [1, 1])


def test_several_labels_have_no_weights(tmp_path, capsys):
    write_shards(tmp_path / "data", [5] * 4, multi_label=True)
    line = ["--class_weights=balanced", "--val_subset=none"]
    assert train_here(tmp_path / "data", tmp_path / "run", *line) == 2
    error = error_of(capsys.readouterr().err)
    assert error.startswith("error: --class_weights=balanced: videos of ")
    assert "several labels" in error
    assert not (tmp_path / "run").exists()


def test_scores_of_classes():
    logits = np.array([[3.0, 0, 0], [0, 3, 0], [0, 3, 0], [0, 0, 3]])
    scores = metrics.class_scores(np.array([0, 0, 1, 1]), logits)
    np.testing.assert_array_equal(scores, [0.5, 0.5, np.nan])
    several = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    np.testing.assert_array_equal(
        metrics.class_scores(several, logits), metrics.average_precisions(several, logits)
    )


def set_of(labels, num_classes):
    classes = [f"class {number}" for number in range(num_classes)]
    return SimpleNamespace(labels=np.array(labels), classes=classes, subset="val")


def test_few_classes():
    logits = np.eye(3)[[0, 0, 1, 1, 1]]
    lines = format_class_scores(set_of([0, 0, 1, 1, 0], 3), logits)
    assert lines[0] == "accuracy of each class in val, lowest first; 1 of 3 have no video:"
    assert [line.split("  ")[1] for line in lines[1:]] == ["class 0 (3)", "class 1 (2)"]
    assert [line.split()[-2] for line in lines[1:]] == ["66.7", "100.0"]
    assert max(map(len, lines)) <= 80


def test_many_classes_take_few_lines():
    labels = np.arange(2000) % 500
    predicted = np.where((labels < 485) & (np.arange(2000) >= 500), (labels + 1) % 500, labels)
    lines = format_class_scores(set_of(labels, 500), np.eye(500)[predicted])
    assert len(lines) == 12
    assert [line.split("  ")[1].strip() for line in lines[1:4]] == [
        f"class {number} (4)" for number in range(3)
    ]
    assert lines[-1] == "  490 more, 25.0 % or higher"


def test_several_labels_a_video():
    labels = np.array([[1, 0], [1, 1], [0, 1]], bool)
    lines = format_class_scores(
        SimpleNamespace(labels=labels, classes=["a", "b"], subset="test"),
        np.array([[2.0, 0], [1, 1], [0, 2]]),
    )
    assert lines[0] == "average precision of each class in test, lowest first:"
    assert [line.split()[:2] for line in lines[1:]] == [["a", "(2)"], ["b", "(2)"]]

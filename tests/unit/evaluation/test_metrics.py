"""Metrics of cases computed by hand."""

import numpy as np
import pytest

from rlstm_tf.evaluation.metrics import average_precisions, compute_metrics, confusion_matrix


def test_metrics_of_single_labels():
    labels = np.array([0, 0, 0, 1])
    logits = np.array([[2.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
    result = compute_metrics(labels, logits)
    right = np.log(np.exp(2) / (np.exp(2) + 2))
    wrong = np.log(1 / (np.exp(2) + 2))
    assert result["videos"] == 4
    assert result["accuracy"] == 0.5
    assert result["mean_class_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert result["loss"] == pytest.approx(-(2 * right + 2 * wrong) / 4)


def test_confusion_matrix():
    labels, predicted = np.array([0, 0, 0, 2, 2]), [0, 1, 0, 2, 0]
    expected = [[2, 1, 0], [0, 0, 0], [1, 0, 1]]
    np.testing.assert_array_equal(confusion_matrix(labels, np.eye(3)[predicted]), expected)


def test_large_logits_do_not_overflow():
    result = compute_metrics(np.array([1]), np.array([[1e4, -1e4]]))
    assert result["loss"] == pytest.approx(2e4)


# Videos by rows: two classes and a third that no video has.
LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], bool)
LOGITS = np.array([[4.0, 1, 9], [3, 4, 9], [2, 3, 9], [1, 2, 9]])


def test_average_precision_of_two_classes():
    """Class 0: right at ranks 1, 3, 4; class 1: at ranks 1, 2."""
    found = average_precisions(LABELS, LOGITS)
    np.testing.assert_allclose(found[:2], [(1 + 2 / 3 + 3 / 4) / 3, 1.0])
    assert np.isnan(found[2])
    result = compute_metrics(LABELS, LOGITS)
    assert result == {
        "map": pytest.approx(((1 + 2 / 3 + 3 / 4) / 3 + 1) / 2),
        "classes": 2,
        "videos": 4,
    }


def test_average_precision_of_the_last_video():
    """One video of five has the class and comes last: precision 1/5."""
    labels = np.zeros((5, 2), bool)
    labels[:, 0] = labels[0, 1] = True
    logits = np.tile(np.arange(5.0)[:, None], (1, 2))
    np.testing.assert_allclose(average_precisions(labels, logits), [1.0, 0.2])


def official(labels, scores):
    """The official program of Charades; unlabeled videos score minus infinity."""
    scores = scores.copy()
    scores[labels.sum(axis=1) == 0] = -np.inf
    precisions = []
    for truth, score in zip(labels.T, scores.T):
        right = truth[np.argsort(-score, kind="stable")]
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        precisions.append(precision[right].sum() / right.sum())
    return np.array(precisions)


def test_average_precision_equals_the_official_program():
    rng = np.random.default_rng(0)
    labels = rng.random((60, 7)) < 0.2
    labels[rng.permutation(60)[:15]] = False
    assert (~labels.any(axis=1)).sum() >= 15
    logits = rng.normal(size=(60, 7))
    # Videos without a label score best.
    logits[~labels.any(axis=1)] += 5
    np.testing.assert_allclose(average_precisions(labels, logits), official(labels, logits))
    labeled = labels.any(axis=1)
    np.testing.assert_allclose(
        average_precisions(labels, logits), average_precisions(labels[labeled], logits[labeled])
    )


def test_map_without_labels_is_nan():
    result = compute_metrics(np.zeros((2, 3), bool), np.ones((2, 3)))
    assert np.isnan(result["map"])
    assert result["classes"] == 0


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([[True, False], [True, True]])])
def test_scores_that_are_not_finite_are_refused(labels):
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(FloatingPointError, match="1 of 2 videos"):
            compute_metrics(labels, np.array([[0.0, 1.0], [bad, 0.0]]))

"""Reading evaluations, and refusing damaged ones."""

import json
import re

import evaluations
import numpy as np
import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.reporting.results import read_result, read_results


@pytest.fixture
def evaluation(tmp_path):
    return evaluations.write_right(tmp_path / "runs" / "run", 3, videos=4)


def change_arrays(directory, **changes):
    with np.load(directory / "scores.npz") as file:
        arrays = dict(file)
    np.savez(directory / "scores.npz", **{**arrays, **changes})


def change_metrics(directory, **changes):
    metrics = json.loads((directory / "metrics.json").read_text())
    (directory / "metrics.json").write_text(json.dumps({**metrics, **changes}))


def refused(directory, message):
    with pytest.raises(DataError, match=message):
        read_results([str(directory)])


def test_read_result(evaluation):
    result = read_result(str(evaluation))
    assert (result.dataset, result.split, result.subset) == ("ucf101", 1, "test")
    assert (result.measure, result.value) == ("accuracy", 0.75)
    assert result.scores.ids == ["v0000", "v0001", "v0002", "v0003"]
    assert result.scores.labels.tolist() == [0, 1, 2, 3]
    assert result.scores.classes == list(evaluations.CLASSES)
    (part,) = result.parts
    assert (part.weight, part.model, part.stream) == (1.0, "two_branch", "spatial")
    assert (part.num_segments, part.cut, part.run) == (8, "conv5_block2_out", "runs/x")


def test_parts_of_parts(evaluation):
    single = evaluations.description()
    two_stream = {
        **single,
        "stream": "two_stream",
        "weight": 0.5,
        "fused": [
            {**single, "weight": 0.45},
            {**single, "stream": "temporal", "weight": 0.55, "run": "runs/y"},
        ],
    }
    change_metrics(
        evaluation,
        stream="two_stream",
        model="two_branch+tsn",
        fused=[two_stream, {**single, "model": "tsn", "weight": 0.5}],
    )
    parts = read_result(str(evaluation)).parts
    assert [(p.model, p.stream, p.run) for p in parts] == [
        ("two_branch", "spatial", "runs/x"),
        ("two_branch", "temporal", "runs/y"),
        ("tsn", "spatial", "runs/x"),
    ]
    np.testing.assert_allclose([p.weight for p in parts], [0.225, 0.275, 0.5])


def test_each_evaluation_is_found_once(evaluation):
    (evaluation / "deeper").mkdir()
    other = evaluations.write_right(evaluation / "deeper" / "other", 3, videos=4)
    top = evaluation.parent
    found = read_results([str(evaluation), str(top), f"{top}/run/../"])
    assert [result.path for result in found] == [str(evaluation), str(other)]


def test_no_evaluations(tmp_path):
    refused(tmp_path / "absent", "--runs: .*absent is not a directory")
    refused(tmp_path, "no evaluation")


@pytest.mark.parametrize("name", ["metrics.json", "scores.npz"])
def test_one_file_without_the_other(evaluation, name):
    (evaluation / name).unlink()
    refused(evaluation, f"has no {re.escape(name)} beside it")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"labels": np.array([3, 2, 1, 0], np.int32)}, "gives 0, 4 videos"),
        ({"logits": np.zeros((4, 12), np.float32)}, "gives 0.25, 4 videos"),
        ({"labels": np.eye(12, dtype=bool)[:4]}, "has map None, 4 videos"),
    ],
)
def test_scores_of_another_evaluation(evaluation, changes, found):
    change_arrays(evaluation, **changes)
    refused(evaluation, f"{found}.*evaluate again")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videos": 5}, "has accuracy 0.75, 5 videos; .* gives 0.75, 4 videos"),
        ({"accuracy": "0.75"}, "has accuracy 0.75"),
        ({"accuracy": None}, "has accuracy None"),
        ({"accuracy": 75}, "has accuracy 75"),
        ({"run": ["x"]}, "run must be str"),
        ({"fused": []}, "fused must be a list"),
        ({"fused": [evaluations.description(weight=1.5)]}, "weight 1.5"),
        ({"fused": [evaluations.description()]}, "weight None"),
        ({"fused": [{"weight": 1, "model": 3}]}, "a fused part: model must be str"),
        ({"fused": ["scores"]}, "a fused part must be an object"),
    ],
)
def test_invalid_metrics(evaluation, changes, message):
    change_metrics(evaluation, **changes)
    refused(evaluation, message)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"accuracy": 0.75}'])
def test_damaged_metrics(evaluation, text):
    (evaluation / "metrics.json").write_text(text)
    refused(evaluation, r"metrics\.json (is missing or damaged|has no dataset)")

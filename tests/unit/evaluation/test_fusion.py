"""Late fusion and score files: exact averages, error messages, and the command."""

import json

import numpy as np
import pytest
from evaluations import description

from rlstm_tf import fuse
from rlstm_tf.cli import app
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.evaluation import fusion, score_files
from rlstm_tf.evaluation.score_files import Scores

METADATA = description()


def make_scores(logits, ids="abc", labels=(0, 1, 1), classes=("left", "right")):
    return Scores(
        list(ids), np.array(labels, np.int32), np.array(logits, np.float32), list(classes)
    )


FIRST = make_scores([[2, 0], [1, 0], [0, 3]])
SECOND = make_scores([[0, 4], [0, 2], [-1, 0]], ids="cab", labels=(1, 0, 1))


def test_logits_are_averaged_by_video():
    fused = fusion.fuse([FIRST, SECOND], (0.25, 0.75), "xy")
    assert fused.ids == ["a", "b", "c"]
    assert fused.labels.tolist() == [0, 1, 1]
    # Video b: 1/4 of (1, 0) and 3/4 of (-1, 0).
    np.testing.assert_array_equal(fused.logits, [[0.5, 1.5], [-0.5, 0], [0, 3.75]])
    assert fused.logits.dtype == np.float32


def test_fusing_equal_scores_changes_nothing():
    fused = fusion.fuse([FIRST] * 3, (1 / 3,) * 3, "xyz")
    np.testing.assert_allclose(fused.logits, FIRST.logits, rtol=1e-6)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make_scores(np.zeros((3, 2)), ids="abd"), "different videos: 'c', 'd' in one alone"),
        (make_scores(np.zeros((2, 2)), "ab", (0, 1)), "different videos: 'c' in one alone"),
        (make_scores(np.zeros((3, 2)), labels=(0, 0, 1)), "x and y have different labels of 'b'"),
        (make_scores(np.zeros((3, 2)), classes=("left", "up")), "different classes: 'right', 'up'"),
        (
            make_scores(np.zeros((3, 3)), classes=("left", "right", "up")),
            "classes: 2 and 3 of them",
        ),
        (
            Scores(["a", "b", "c"], np.ones((3, 2), bool), np.zeros((3, 2)), ["left", "right"]),
            "one has one label a video",
        ),
    ],
)
def test_scores_of_different_videos_are_refused(other, message):
    with pytest.raises(DataError, match=message):
        fusion.fuse([FIRST, other], (0.5, 0.5), "xy")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.5, 0.6), "0.5,0.6: must be at least 0 and sum to 1, they sum to 1.1"),
        ((1.5, -0.5), "1.5,-0.5: must be at least 0"),
        ((1.0,), "1 weights for 2 score files"),
        ((float("nan"), 1.0), "must be at least 0"),
    ],
)
def test_invalid_weights_are_refused(weights, message):
    with pytest.raises(UsageError, match=message):
        fusion.fuse([FIRST, SECOND], weights, "xy")


def test_search_finds_the_best_weights():
    """A margin of 1 for the right class outweighs one of 3 for the wrong class from 0.75 on."""
    labels = (0, 1)
    wrong = make_scores([[0, 3], [3, 0]], "ab", labels)
    right = make_scores([[1, 0], [0, 1]], "ab", labels)
    assert fusion.search_weights([wrong, right], "xy") == (0.2, 0.8)
    # Equally good everywhere: returns equal weights.
    assert fusion.search_weights([right, right], "xy") == (0.5, 0.5)
    assert fusion.search_weights([right] * 4, "wxyz", steps=8) == (0.25,) * 4


def test_metadata_is_combined():
    spatial = {**METADATA, "stream": "spatial"}
    temporal = {**METADATA, "stream": "temporal", "num_segments": 6}
    fused = fusion.combine_metadata([spatial, temporal])
    assert fused["stream"] == "two_stream"
    assert fused["model"] == "two_branch"
    assert fused["num_segments"] is None
    assert fused["cut"] == "conv5_block2_out"
    models = fusion.combine_metadata([{**METADATA, "model": "tsn"}, {**METADATA, "model": "rlstm"}])
    assert (models["model"], models["stream"]) == ("tsn+rlstm", "spatial")
    with pytest.raises(DataError, match="different data: split is 1, 2"):
        fusion.combine_metadata([METADATA, {**METADATA, "split": 2}])


# Score files.


def test_load_returns_what_was_saved(tmp_path):
    score_files.save(tmp_path, FIRST, {**METADATA, "accuracy": 1.0})
    for path in (tmp_path, tmp_path / "scores.npz"):
        found, metadata = score_files.load(path)
        assert (found.ids, found.classes) == (FIRST.ids, FIRST.classes)
        np.testing.assert_array_equal(found.logits, FIRST.logits)
        assert found.labels.dtype == np.int32
        assert metadata["accuracy"] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "scores.npz"]


def arrays(**changes):
    valid = {
        "ids": np.array(["a", "b"]),
        "labels": np.array([0, 1]),
        "logits": np.zeros((2, 2), np.float32),
        "classes": np.array(["x", "y"]),
    }
    return {**valid, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": np.array(["a", "a"])}, "video 'a' twice"),
        ({"ids": np.array([object(), object()])}, "damaged or holds no scores"),
        ({"labels": np.array([0, 2])}, "none of its 2 classes"),
        ({"labels": np.array([-1, 0])}, "none of its 2 classes"),
        ({"labels": np.array([0.0, 1])}, "does not hold scores of videos"),
        ({"logits": np.zeros((2, 3), np.float32)}, "does not hold scores of videos"),
        ({"logits": np.full((2, 2), np.inf)}, "not finite"),
        ({"ids": np.array([], "U1"), "labels": np.array([], int)}, "does not hold scores"),
    ],
)
def test_damaged_scores_are_refused(tmp_path, changes, message):
    score_files.save(tmp_path, FIRST, METADATA)
    np.savez(tmp_path / "scores.npz", **arrays(**changes))
    with pytest.raises(DataError, match=message):
        score_files.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "model must be str, found None"),
        ({"num_segments": "8"}, "num_segments must be int, found '8'"),
        ({"split": True}, "split must be int, found True"),
    ],
)
def test_metadata_of_wrong_type_is_refused(tmp_path, changes, message):
    score_files.save(tmp_path, FIRST, {**METADATA, **changes})
    with pytest.raises(DataError, match=message):
        score_files.load(tmp_path)


def test_single_array_is_refused(tmp_path):
    score_files.save(tmp_path, FIRST, METADATA)
    with (tmp_path / "scores.npz").open("wb") as file:
        np.save(file, FIRST.logits)
    with pytest.raises(DataError, match="damaged or holds no scores"):
        score_files.load(tmp_path)


def test_failed_save_keeps_the_old_files(tmp_path, monkeypatch):
    score_files.save(tmp_path, FIRST, METADATA)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*: No space left on device .*MB free"):
        score_files.save(tmp_path, SECOND, METADATA)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(DataError, match=r"cannot write .*scores\.npz"):
        score_files.check_writable(tmp_path / "scores.npz")
    score_files.check_writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_missing_and_truncated_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="there are no scores"):
        score_files.load(tmp_path)
    score_files.save(tmp_path, FIRST, METADATA)
    (tmp_path / "metrics.json").write_text('{"dataset": "ucf101"}')
    with pytest.raises(DataError, match="has no subset, stream, model, cut"):
        score_files.load(tmp_path)
    (tmp_path / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"metrics.json is missing or damaged"):
        score_files.load(tmp_path)
    content = (tmp_path / "scores.npz").read_bytes()
    for end in (0, 10, len(content) // 2, len(content) - 9):
        (tmp_path / "scores.npz").write_bytes(content[:end])
        with pytest.raises(DataError, match="damaged or holds no scores"):
            score_files.load(tmp_path)


# The command.


@pytest.fixture
def streams(tmp_path):
    """Test and validation scores of a bad (spatial) and a good (temporal) stream."""
    rng = np.random.default_rng(0)
    paths = {}
    for subset in ("test", "val"):
        labels = rng.integers(0, 2, 40).astype(np.int32)
        ids = [f"{subset}{number}" for number in range(40)]
        for stream, strength in (("spatial", -3), ("temporal", 1)):
            logits = rng.normal(0, 0.1, (40, 2)) + strength * np.eye(2)[labels]
            found = Scores(ids, labels, logits.astype(np.float32), ["left", "right"])
            paths[stream, subset] = tmp_path / subset / stream
            score_files.save(
                paths[stream, subset], found, {**METADATA, "stream": stream, "subset": subset}
            )
    return paths


def run(capsys, *arguments):
    status = app.run(fuse.main, fuse.define_flags, ["fuse", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_fuse(streams, tmp_path, capsys):
    given = ",".join(str(streams[stream, "test"]) for stream in ("spatial", "temporal"))
    output = tmp_path / "fused"
    status, out, _ = run(capsys, f"--scores={given}", "--preset=ucf101", f"--output={output}")
    assert status == 0
    assert "weights 0.45, 0.55" in out
    fused, metadata = score_files.load(output)
    scores = [score_files.load(streams[stream, "test"])[0] for stream in ("spatial", "temporal")]
    np.testing.assert_allclose(
        fused.logits, 0.45 * scores[0].logits + 0.55 * scores[1].logits, rtol=1e-5, atol=1e-6
    )
    assert metadata["stream"] == "two_stream"
    assert [stream["weight"] for stream in metadata["fused"]] == [0.45, 0.55]
    assert [stream["stream"] for stream in metadata["fused"]] == ["spatial", "temporal"]
    assert metadata["accuracy"] == (fused.logits.argmax(1) == fused.labels).mean()
    # Fused scores can be fused again.
    again = tmp_path / "again"
    arguments = [f"--scores={output},{output}", "--weights=0.5,0.5", f"--output={again}"]
    assert run(capsys, *arguments)[0] == 0
    assert score_files.load(again)[1]["stream"] == "two_stream"


def test_search_records_its_videos(streams, tmp_path, capsys):
    test, val = (
        ",".join(str(streams[stream, subset]) for stream in ("spatial", "temporal"))
        for subset in ("test", "val")
    )
    output = tmp_path / "fused"
    status, out, _ = run(capsys, f"--scores={test}", f"--search={val}", f"--output={output}")
    assert status == 0
    assert "on 40 validation videos, accuracy 1.0000 there" in out
    metadata = json.loads((output / "metrics.json").read_text())
    assert metadata["weights_from"] == "search"
    assert metadata["fused"][1]["weight"] >= 0.75
    status, _, error = run(capsys, f"--scores={test}", f"--search={test}", f"--output={output}")
    assert status == 2
    assert "choose weights on other videos" in error


def test_errors_of_the_user(streams, tmp_path, capsys):
    spatial, temporal = (str(streams[stream, "test"]) for stream in ("spatial", "temporal"))
    output = f"--output={tmp_path / 'new'}"

    def refused(status, message, *arguments):
        found, _, error = run(capsys, output, *arguments)
        assert found == status
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
        assert not (tmp_path / "new").exists()

    both = f"--scores={spatial},{temporal}"
    refused(2, "--scores must be given", "--weights=1")
    refused(2, "give one of --weights, --preset and --search, not none", both)
    refused(2, "not --weights and --preset", both, "--weights=0.5,0.5", "--preset=tsn")
    refused(2, "sum to 1.1", both, "--weights=0.5,0.6")
    refused(2, "--weights=a,b: floats", both, "--weights=a,b")
    refused(2, "temporal, then spatial", f"--scores={temporal},{spatial}", "--preset=ucf101")
    refused(2, "--scores must be given", "--scores=", "--weights=1")
    refused(2, "these scores are of dataset ucf101", both, "--preset=hmdb51")
    refused(2, "these scores are of model two_branch", both, "--preset=tsn")
    vals = [str(streams[stream, "val"]) for stream in ("spatial", "temporal")]
    refused(2, "is of stream temporal", both, f"--search={vals[1]},{vals[0]}")
    refused(2, "takes 2 to 4 scores, not 1", f"--scores={spatial}", f"--search={vals[0]}")
    refused(1, "there are no scores", f"--scores={spatial},{tmp_path}", "--weights=0.5,0.5")
    own = f"--output={streams['spatial', 'test']}"
    for given in (both, f"--scores={spatial}/scores.npz,{temporal}"):
        status, _, error = run(capsys, given, "--weights=0.5,0.5", own)
        assert status == 2
        assert "is one of the --scores" in error
    val = streams["temporal", "val"]
    refused(1, "different videos", f"--scores={spatial},{val}", "--weights=0.5,0.5")

"""Summaries of real runs: TensorBoard gets each once, however often a run is stopped."""

import shutil

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from run_events import events_of, hparams_of
from small_shards import texture_jpeg, write_shards
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorflow.python.framework.config import disable_op_determinism
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from rlstm_tf import train
from rlstm_tf.cli import app

SMALL = (
    *("--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2", "--image_size=32"),
    *("--batch_size=2", "--batch_norm=batch", "--batch_norm_momentum=0.9", "--learning_rate=0.01"),
    *("--drop_epochs=2", "--val_subset=train"),
)
IMAGES = {"images/augmented_batch", "images/worst_errors", "images/confusion_matrix"}
GATES = {"gates/i", "gates/f", "gates/o", "gates/g"}


def run(shards, run_dir, *more):
    arguments = [f"--data={shards}", f"--run_dir={run_dir}", *SMALL, *more]
    try:
        return app.run(train.main, train.define_flags, ["train", *arguments])
    finally:
        # Both are of the process, in which other tests follow.
        disable_op_determinism()
        keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Six videos of three classes: three steps an epoch."""
    directory = tmp_path_factory.mktemp("board") / "shards"
    write_shards(directory, [6, 9, 5, 7, 8, 6], image=texture_jpeg)
    return directory


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    """Two epochs, steps 2 to 4 profiled."""
    run_dir = tmp_path_factory.mktemp("run") / "tsn <b>é"
    more = ("--profile_steps=2,4", "--save_every=2", "--deterministic")
    assert run(shards, run_dir, "--epochs=2", *more) == 0
    return run_dir


def steps_of(run_dir):
    """Tag -> steps that it has a value of, as often as it has."""
    events = events_of(run_dir)
    tags = events.Tags()["tensors"]
    return {tag: sorted(e.step for e in events.Tensors(tag)) for tag in tags}


def raw_events(run_dir):
    for path in sorted((run_dir / "tensorboard").glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            yield tf.compat.v1.Event.FromString(record.numpy())


def profiled_steps(run_dir):
    """Returns the steps of each profile."""
    found = []
    for path in run_dir.glob("tensorboard/plugins/profile/*/*.xplane.pb"):
        steps = []
        for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
            for event in (event for line in plane.lines for event in line.events):
                if plane.event_metadata[event.metadata_id].name == "train":
                    stats = {plane.stat_metadata[s.metadata_id].name: s for s in event.stats}
                    steps.append(stats["step_num"].int64_value)
        found.append(sorted(steps))
    return found


def test_all_of_it_is_there(finished):
    steps = steps_of(finished)
    assert set(steps) >= IMAGES | GATES
    for tag in (*IMAGES, *GATES, "epoch/input_wait_share", "val/loss"):
        assert steps[tag] == [3, 6], tag
    assert steps["train/learning_rate"] == [3, 6]
    events = events_of(finished)
    for tag in IMAGES:
        for event in events.Tensors(tag):
            width, height, png = tf.make_ndarray(event.tensor_proto)
            image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
            assert image.shape == (int(height), int(width), 3)
            assert image.std() > 5
    for tag in GATES:
        first, second = (tf.make_ndarray(e.tensor_proto)[:, 2] for e in events.Tensors(tag))
        # Of four videos, two segments, one position and 48 channels.
        assert first.sum() == second.sum() > 0
        assert (first != second).any(), "what is trained changes them"


def test_the_graph_is_that_of_the_network(finished):
    names = {node.name for node in events_of(finished).Graph().node}
    assert "frames" in names
    for part in ("two_branch", "relational_lstm", "logits", "non_local_tail"):
        assert any(part in name for name in names), part
    assert not any("gradient" in name.lower() for name in names)


def experiment_of(run_dir):
    content = events_of(run_dir).SummaryMetadata(metadata.EXPERIMENT_TAG)
    return metadata.parse_experiment_plugin_data(content.plugin_data.content)


def test_hyperparameters_are_the_runs_flags(finished):
    name, values = hparams_of(finished)
    # TensorBoard takes runs of one name for one, and shows means of them.
    assert name == str(finished.resolve())
    expected = {"model": "two_branch", "learning_rate": 0.01, "epochs": 2, "flip": True}
    expected |= {"crop_scales": "1,0.875,0.75,0.66", "drop_epochs": "2", "seed": 0}
    assert {name: values[name] for name in expected} == expected
    # What is unset, and what changes no result.
    assert not {"units", "cut", "data", "run_dir", "profile_steps", "resume"} & set(values)
    experiment = experiment_of(finished)
    columns = {info.name: info for info in experiment.hparam_infos}
    assert set(values) <= set(columns)
    assert "units" in columns, "another run may have it"
    assert columns["learning_rate"].differs
    kinds = {"learning_rate": "FLOAT64", "epochs": "FLOAT64", "model": "STRING", "flip": "BOOL"}
    for column, kind in {**kinds, "units": "UNSET"}.items():
        assert columns[column].type == api_pb2.DataType.Value(f"DATA_TYPE_{kind}"), column
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics == ["val/accuracy", "val/loss"]
    assert set(metrics) <= set(steps_of(finished))


def test_the_first_columns_are_flags(finished):
    shown = {info.name for info in experiment_of(finished).hparam_infos if info.differs}
    assert len(shown) == 5, "each of those that are to be shown is a flag"


def test_a_profile_of_the_steps_asked_for(finished):
    assert profiled_steps(finished) == [[2, 3, 4]]


def test_what_is_resumed_has_nothing_twice(shards, finished, tmp_path):
    """From step 4, in the middle of the second epoch, whose images are there already."""
    run_dir = tmp_path / finished.name
    shutil.copytree(finished, run_dir)
    (run_dir / "checkpoints" / "step-000000006.npz").unlink()
    assert (run_dir / "checkpoints" / "step-000000004.npz").exists()
    before = steps_of(run_dir)
    assert run(shards, run_dir, "--epochs=3", "--save_every=2", "--resume") == 0
    after = steps_of(run_dir)
    assert set(after) == set(before)
    for tag in after:
        every = [0] if tag.startswith("_hparams_") else [3, 6, 9]
        assert after[tag] == every, tag
    assert sum(bool(event.graph_def) for event in raw_events(run_dir)) == 1
    assert hparams_of(run_dir)[1]["epochs"] == 3
    # It was not asked for again.
    assert len(profiled_steps(run_dir)) == 1


def test_what_is_resumed_and_has_nothing_left_to_do(shards, finished, tmp_path):
    run_dir = tmp_path / finished.name
    shutil.copytree(finished, run_dir)
    before = steps_of(run_dir)
    assert run(shards, run_dir, "--epochs=2", "--save_every=2", "--resume") == 0
    assert steps_of(run_dir) == before
    assert sum(bool(event.graph_def) for event in raw_events(run_dir)) == 1


def test_summaries_do_not_change_the_weights(shards, finished, tmp_path, monkeypatch):
    """They draw no random numbers and update no statistics."""
    from rlstm_tf.summaries import assembly

    monkeypatch.setattr(assembly, "callbacks", lambda *args, **kwargs: [])
    run_dir = tmp_path / "run"
    assert run(shards, run_dir, "--epochs=2", "--deterministic") == 0
    with (
        np.load(run_dir / "checkpoints/step-000000006.npz") as expected,
        np.load(finished / "checkpoints/step-000000006.npz") as found,
    ):
        for name in set(expected.files) - {"info"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize(
    "more",
    [
        ("--precision=mixed_bfloat16", "--accumulate=2", "--pairwise=concatenation"),
        ("--precision=mixed_float16",),
        ("--strategy=mirrored", "--val_subset=none"),
    ],
    ids=lambda more: more[0],
)
def test_in_other_settings(shards, tmp_path, more):
    assert run(shards, tmp_path / "run", "--epochs=1", "--model=rlstm", *more) == 0
    tags = set(steps_of(tmp_path / "run"))
    scored = "--val_subset=none" not in more
    assert tags >= GATES | (IMAGES if scored else {"images/augmented_batch"})
    assert ("images/worst_errors" in tags) == scored
    metrics = [info.name.tag for info in experiment_of(tmp_path / "run").metric_infos]
    assert set(metrics) <= tags


def test_flow(tmp_path):
    write_shards(tmp_path / "shards", [6, 9, 5, 7, 8, 6], stream="temporal")
    more = ("--epochs=1", "--stream=temporal", "--new_length=3", "--model=rlstm")
    assert run(tmp_path / "shards", tmp_path / "run", *more) == 0
    assert set(steps_of(tmp_path / "run")) >= GATES | IMAGES


def test_several_labels_and_no_gates(tmp_path):
    actions = [[(0, 0, 3), (2, 1, 4)], [(1, 0, 2)], [(1, 0, 5)], []]
    write_shards(tmp_path / "shards", [6, 7, 5, 5], actions=actions, multi_label=True)
    assert run(tmp_path / "shards", tmp_path / "run", "--epochs=1", "--model=convlstm") == 0
    tags = set(steps_of(tmp_path / "run"))
    assert "images/worst_errors" in tags
    assert "images/confusion_matrix" not in tags
    assert not tags & GATES
    metrics = [info.name.tag for info in experiment_of(tmp_path / "run").metric_infos]
    assert metrics == ["val/map", "epoch/loss"]
    assert set(metrics) <= tags


@pytest.mark.parametrize("value", ["10", "20,10", "0,5", "-1,5", "a,b", "1,2,3", "1.5,2", "1,"])
def test_profile_steps_that_are_none(shards, tmp_path, capsys, value):
    assert run(shards, tmp_path / "run", f"--profile_steps={value}") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --profile_steps={value}: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("steps", "said"), [("8,9", "nothing is profiled"), ("3,9", "the profile is short")]
)
def test_profile_steps_beyond_the_end_are_said(shards, tmp_path, capsys, steps, said):
    more = ("--epochs=1", f"--profile_steps={steps}", "--model=tsn")
    more += ("--jit",) if steps == "3,9" else ()
    assert run(shards, tmp_path / "run", *more) == 0
    warning = f"warning: --profile_steps={steps}: the run ends after 3 more steps: {said}"
    assert warning in capsys.readouterr().out
    tags = set(steps_of(tmp_path / "run"))
    assert tags >= IMAGES
    assert not tags & GATES
    assert profiled_steps(tmp_path / "run") == ([[3]] if steps == "3,9" else [])

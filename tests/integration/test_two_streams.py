"""Both streams and Charades from generated videos to a fused score, by the real entry points."""

import json

import numpy as np
import pytest

from rlstm_tf import evaluate, fuse, report, train
from rlstm_tf.cli import app
from rlstm_tf.evaluation import score_files
from rlstm_tf.runs.checkpoints import Checkpoints
from tfrecords_tools import build, demo, verify

SMALL = (
    *("--backbone=tiny_resnetv2", "--weights=none", "--image_size=32", "--num_segments=3"),
    *("--batch_norm=batch", "--batch_size=8", "--learning_rate=0.01", "--epochs=1"),
    *("--drop_epochs=1", "--val_subset=none", "--flip=false"),
)
TEMPORAL = ("--stream=temporal", "--new_length=3")


def run(module, *arguments):
    return app.run(module.main, module.define_flags, ["program", *map(str, arguments)])


def made(root, layout, *arguments):
    output = root / layout
    given = (f"--output={output}", f"--layout={layout}", "--size=32", "--num_frames=6")
    assert run(demo, *given, "--videos_per_class=9", "--workers=1", *arguments) == 0
    return output


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Shards of split 1, both streams."""
    root = tmp_path_factory.mktemp("streams")
    videos = made(root, "ucf101")
    for stream in ("spatial", "temporal"):
        arguments = [
            *("--dataset=ucf101", "--split=1", f"--videos={videos / 'videos'}"),
            *(f"--splits={videos / 'ucfTrainTestlist'}", f"--output={root / stream}"),
            *("--short_side=32", "--shards=2", f"--stream={stream}"),
            *(["--flow=dis"] if stream == "temporal" else []),
        ]
        assert run(build, *arguments) == 0
        assert run(verify, f"--data={root / stream}", "--decode") == 0
    return root


@pytest.fixture(scope="module")
def spatial(records, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "spatial"
    data = f"--data={records / 'spatial'}"
    assert run(train, data, f"--run_dir={run_dir}", "--model=tsn", *SMALL) == 0
    assert run(evaluate, f"--run_dir={run_dir}", "--protocol=paper") == 0
    return run_dir


@pytest.fixture(scope="module")
def temporal(records, spatial):
    """Starts from the spatial stream."""
    run_dir = spatial.parent / "temporal"
    arguments = [f"--data={records / 'temporal'}", f"--init_from={spatial}"]
    arguments += [f"--run_dir={run_dir}", "--model=tsn", *SMALL, *TEMPORAL]
    assert run(train, *arguments) == 0
    assert run(evaluate, f"--run_dir={run_dir}", "--protocol=paper") == 0
    return run_dir


def facts(run_dir):
    return json.loads((run_dir / "evaluation" / "test" / "metrics.json").read_text())


def test_both_streams_are_fused(spatial, temporal, tmp_path):
    assert [facts(run)["stream"] for run in (spatial, temporal)] == ["spatial", "temporal"]
    expected = {"model": "tsn", "num_segments": 3, "protocol": "paper", "views": 20, "split": 1}
    assert expected.items() <= facts(temporal).items()
    assert facts(temporal)["cut"] == "conv5_block2_out"
    parts = [run / "evaluation" / "test" for run in (spatial, temporal)]
    given = f"--scores={parts[0]},{parts[1]}"
    assert run(fuse, given, "--preset=tsn", f"--output={tmp_path / 'both'}") == 0
    fused, about = score_files.load(tmp_path / "both")
    assert about["stream"] == "two_stream"
    first, second = (score_files.load(part)[0] for part in parts)
    # Both streams hold the same videos; their order in the shards is the same too.
    assert first.ids == second.ids == fused.ids
    np.testing.assert_allclose(
        fused.logits, 0.35 * first.logits + 0.65 * second.logits, rtol=1e-4, atol=1e-6
    )
    runs = f"--runs={spatial.parent},{tmp_path}"
    assert run(report, runs, f"--output={tmp_path / 'report'}") == 0
    table = (tmp_path / "report" / "tables" / "table2.csv").read_text().splitlines()
    percent = [f"{100 * value:.1f}" for value in (facts(spatial)["accuracy"], about["accuracy"])]
    assert table[1].split(",")[2] == percent[0]
    assert table[1].split(",")[6] == percent[1]


def test_the_temporal_stream_began_with_the_weights_of_the_spatial_one(
    records, spatial, tmp_path, capsys
):
    """A rate of zero: what is saved is what was taken over."""
    run_dir = tmp_path / "still"
    arguments = [f"--data={records / 'temporal'}", f"--init_from={spatial}"]
    arguments += [f"--run_dir={run_dir}", "--model=tsn", *SMALL, *TEMPORAL, "--learning_rate=0"]
    assert run(train, *arguments) == 0
    assert "1 adapted from RGB to flow, 0 newly initialized" in capsys.readouterr().out
    before, after = (
        Checkpoints(directory / "checkpoints").require_newest()[0]
        for directory in (spatial, run_dir)
    )
    kernel = before["model/trunk/conv1_conv/kernel"].mean(axis=2, keepdims=True)
    found = after["model/trunk/conv1_conv/kernel"]
    assert found.shape[2] == 6
    np.testing.assert_allclose(found, np.repeat(kernel, 6, axis=2), rtol=1e-6)
    same = [name for name in after if "moving" not in name and "conv1_conv/kernel" not in name]
    for name in same:
        if name.startswith("model/"):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_charades(tmp_path, capsys):
    videos = made(tmp_path, "charades")
    data = tmp_path / "records"
    arguments = [
        *("--dataset=charades", f"--videos={videos / 'Charades_v1_480'}"),
        *(f"--splits={videos / 'Charades'}", f"--output={data}", "--short_side=32"),
    ]
    assert run(build, *arguments) == 0
    run_dir = tmp_path / "run"
    changes = ("--val_subset=test", "--accumulate=2", "--batch_norm=population")
    assert run(train, f"--data={data}", f"--run_dir={run_dir}", *SMALL, *changes) == 0
    assert "val map" in capsys.readouterr().out
    assert run(evaluate, f"--run_dir={run_dir}", "--protocol=paper") == 0
    assert facts(run_dir)["views"] == 10
    found, about = score_files.load(run_dir / "evaluation" / "test")
    assert found.labels.dtype == bool
    assert (found.labels.sum(axis=1) > 1).any()
    assert (found.labels.sum(axis=1) == 0).sum() == 1
    assert 0 < about["map"] <= 1
    assert about["classes"] == 8


def test_errors_of_the_user(records, spatial, tmp_path, capsys):
    new = tmp_path / "new"

    def refused(status, message, *arguments):
        assert run(train, f"--run_dir={new}", *SMALL, *arguments) == status
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert message in error
        assert not list(new.glob("checkpoints/*"))

    flow, images = f"--data={records / 'temporal'}", f"--data={records / 'spatial'}"
    refused(1, "--stream=spatial does not fit shards of the temporal stream", flow)
    refused(1, "--stream=temporal does not fit shards of the spatial stream", images, *TEMPORAL)
    refused(2, "--new_length=3 goes with --stream=temporal", images, "--new_length=3")
    refused(2, "must be a multiple of --accumulate=3", images, "--accumulate=3")
    refused(1, "holds no run", images, f"--init_from={tmp_path}")
    refused(1, "from another backbone", images, f"--init_from={spatial}", "--backbone=mobilenet_v2")
    refused(2, "is not a single map", images, "--cut=conv5_block2_1_conv")
    refused(2, "--model", images, "--model=resnet")
    refused(2, "--precision", images, "--precision=float8")


def test_flow_of_the_genuine_clips(real, tmp_path, times):
    """The paper's temporal stream on HMDB-51's own files: smaller fields and fewer segments."""
    data, run_dir = tmp_path / "flow", tmp_path / "run"
    arguments = [
        *("--dataset=hmdb51", "--split=1", f"--videos={real / 'hmdb51' / 'videos'}"),
        f"--splits={real / 'splits' / 'testTrainMulti_7030_splits'}",
        *(f"--output={data}", "--allow_missing", "--short_side=72", "--shards=2"),
        *("--stream=temporal", "--flow=dis"),
    ]
    assert run(build, *arguments) == 0
    assert run(verify, f"--data={data}", "--decode") == 0
    manifest = json.loads((data / "manifest.json").read_text())
    assert sum(subset["frames"] for subset in manifest["subsets"].values()) == 719
    changes = ("--weights=none", "--num_segments=2", "--image_size=64", "--batch_size=2")
    changes += (f"--backbone={times('resnet101v2', 'tiny_resnetv2')}",)
    files = ("--flagfile=configs/hmdb51_temporal.cfg", "--init_from=")
    where = (f"--data={data}", f"--run_dir={run_dir}")
    assert run(train, *files, *where, *changes, "--epochs=1") == 0
    assert run(evaluate, f"--run_dir={run_dir}") == 0
    assert facts(run_dir)["stream"] == "temporal"

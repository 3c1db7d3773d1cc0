"""The real entry points, one after the other, on shards that the test builds."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlstm_tf import evaluate, train
from rlstm_tf.cli import app
from rlstm_tf.data.schema import Manifest
from rlstm_tf.models.tiny_resnet import tiny_resnet_v2
from tfrecords_tools import build, verify

SMALL = (
    "--backbone=tiny_resnetv2",
    "--weights=none",
    "--num_segments=2",
    "--image_size=32",
    "--batch_size=2",
    "--batch_norm=batch",
    "--batch_norm_momentum=0.9",
    "--learning_rate=0.01",
    "--drop_epochs=2",
)


def run(module, *arguments, positional=None):
    return app.run(module.main, module.define_flags, ["program", *arguments], positional)


@pytest.fixture(scope="module")
def shards(tmp_path_factory, make_video):
    """Shards of two classes, five videos each, two of them for validation, two for testing."""
    root = tmp_path_factory.mktemp("videos")
    rows = ["path,label,subset"]
    for label in ("left", "right <i>"):
        for number, subset in enumerate(("train", "train", "train", "val", "test")):
            path = root / f"{label[0]}{number}.mp4"
            make_video(path, frames=7 + number, seed=number + 10 * (label == "left"))
            rows.append(f"{path.name},{label},{subset}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    output = root / "shards"
    status = run(
        build,
        "--dataset=folder",
        f"--videos={root / 'list.csv'}",
        f"--output={output}",
        "--short_side=40",
        "--shards=2",
        "--workers=2",
    )
    assert status == 0
    assert run(verify, f"--data={output}", "--decode") == 0
    return output


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    """A run of three epochs."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    assert run(train, f"--data={shards}", f"--run_dir={run_dir}", "--epochs=3", *SMALL) == 0
    return run_dir


def history(run_dir):
    with (run_dir / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "info"}


def test_what_a_run_leaves(finished):
    rows = history(finished)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001], rtol=1e-5)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "videos_per_second"} <= set(rows[0])
    assert all(0 <= float(row["input_wait_share"]) <= 1 for row in rows)
    checkpoints = sorted(path.name for path in (finished / "checkpoints").iterdir())
    assert checkpoints == [
        "best.npz",
        "step-000000003.npz",
        "step-000000006.npz",
        "step-000000009.npz",
    ]
    assert json.loads((finished / "classes.json").read_text()) == ["left", "right <i>"]
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"train/loss", "epoch/loss", "val/accuracy", "epoch/learning_rate"} <= tags


def test_its_flags_run_the_same_thing_again(finished, tmp_path):
    again = tmp_path / "again"
    assert run(train, f"--flagfile={finished / 'flags.cfg'}", f"--run_dir={again}") == 0
    first, second = (arrays(path / "checkpoints/step-000000009.npz") for path in (finished, again))
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_resume_goes_on_at_the_next_epoch(finished, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    (run_dir / "checkpoints" / "step-000000009.npz").unlink()
    arguments = [f"--flagfile={finished / 'flags.cfg'}", f"--run_dir={run_dir}"]
    assert run(train, *arguments) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert run(train, *arguments, "--resume", "--epochs=4") == 0
    assert "resumed from" in capsys.readouterr().out
    assert [row["epoch"] for row in history(run_dir)] == ["1", "2", "3", "4"]
    assert (run_dir / "checkpoints" / "step-000000012.npz").exists()
    assert run(train, *arguments, "--resume", "--epochs=4", "--seed=7") == 2
    assert "started with --seed=0" in capsys.readouterr().err


def test_resume_needs_the_weights_no_more_that_it_was_started_with(shards, tmp_path):
    """ImageNet's would be fetched by every machine that goes on with a run."""
    weights = tmp_path / "tiny.weights.h5"
    tiny_resnet_v2((32, 32, 3)).save_weights(weights)
    arguments = [f"--data={shards}", f"--run_dir={tmp_path / 'run'}", *SMALL]
    arguments += [f"--weights={weights}", "--resume"]
    assert run(train, *arguments, "--epochs=1") == 0
    weights.unlink()
    assert run(train, *arguments, "--epochs=2") == 0
    assert len(history(tmp_path / "run")) == 2


@pytest.mark.parametrize("protocol", ["center", "paper"])
def test_evaluate(finished, tmp_path, protocol):
    output = tmp_path / "scores"
    status = run(evaluate, f"--run_dir={finished}", f"--protocol={protocol}", f"--output={output}")
    assert status == 0
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["videos"] == 2
    assert metrics["protocol"] == protocol
    assert 0 <= metrics["accuracy"] <= 1
    assert 0 <= metrics["mean_class_accuracy"] <= 1
    scores = arrays(output / "scores.npz")
    assert scores["logits"].shape == (2, 2)
    assert len(set(scores["ids"])) == 2
    assert sorted(scores["labels"]) == [0, 1]
    predicted = scores["logits"].argmax(axis=1)
    assert metrics["accuracy"] == (predicted == scores["labels"]).mean()


def test_evaluate_takes_the_best_and_agrees_with_the_history(finished, tmp_path):
    arguments = [f"--run_dir={finished}", "--split=val", f"--output={tmp_path / 'val'}"]
    assert run(evaluate, *arguments, "--checkpoint=best") == 0
    metrics = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert metrics["accuracy"] == max(float(row["val_accuracy"]) for row in history(finished))
    assert run(evaluate, *arguments) == 0
    metrics = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert metrics["loss"] == pytest.approx(float(history(finished)[-1]["val_loss"]), rel=1e-4)


def test_what_a_user_gets_wrong(finished, shards, tmp_path, capsys):
    def refused(status, message, module, *arguments):
        assert run(module, *arguments) == status
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert message in error

    new = f"--run_dir={tmp_path / 'new'}"
    data = f"--data={shards}"
    refused(2, "--data must be given", train, new)
    refused(1, "no shards in", train, new, f"--data={tmp_path}", *SMALL)
    refused(2, "batch_size", train, new, data, *SMALL, "--batch_size=7")
    refused(1, "subset", train, new, data, *SMALL, "--val_subset=validation")
    refused(2, "is not a layer of", train, new, data, *SMALL, "--cut=conv9")
    refused(
        1,
        "must be imagenet, none or an existing file",
        train,
        new,
        data,
        *SMALL,
        "--weights=absent.h5",
    )
    refused(1, "holds no run", evaluate, f"--run_dir={tmp_path}")
    refused(1, "subset", evaluate, f"--run_dir={finished}", "--split=tset")
    assert not list((tmp_path / "new").glob("checkpoints/*"))
    other = tmp_path / "other"
    shutil.copytree(shards, other)
    manifest = Manifest.load(str(other))
    classes = tuple(name.replace("left", "up") for name in manifest.classes)
    dataclasses.replace(manifest, classes=classes).save(str(other))
    refused(1, "another class list", evaluate, f"--run_dir={finished}", f"--data={other}")
    shard = next(other.glob("train-*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    refused(1, shard.name.split(".")[0], train, new, f"--data={other}", *SMALL, "--epochs=9")


def test_the_genuine_clips(real, tmp_path, capsys):
    """The paper's network on HMDB-51's own files, smaller frames and fewer segments."""
    splits = real / "splits" / "testTrainMulti_7030_splits"
    data, run_dir = tmp_path / "hmdb51", tmp_path / "run"
    arguments = [
        "--dataset=hmdb51",
        f"--videos={real / 'hmdb51' / 'videos'}",
        f"--splits={splits}",
        "--split=1",
        f"--output={data}",
        "--short_side=72",
        "--shards=2",
        "--workers=2",
    ]
    assert run(build, *arguments) == 1
    assert "5095 of 5100 listed videos are missing" in capsys.readouterr().err
    assert run(build, *arguments, "--allow_missing") == 0
    assert run(verify, f"--data={data}", "--decode") == 0
    status = run(
        train,
        "--flagfile=configs/hmdb51_spatial.cfg",
        f"--data={data}",
        f"--run_dir={run_dir}",
        "--weights=none",
        "--num_segments=2",
        "--image_size=64",
        "--batch_size=2",
        "--epochs=1",
    )
    assert status == 0
    assert run(evaluate, f"--run_dir={run_dir}", "--split=test") == 0
    metrics = json.loads((run_dir / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["videos"] == 1
    assert np.isfinite(metrics["loss"])

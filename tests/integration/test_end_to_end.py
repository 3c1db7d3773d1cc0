"""Build, verify, train, evaluate and resume, by their commands."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import TINY, run

from rlstm_tf import evaluate, train
from rlstm_tf.data.manifest import Manifest
from tfrecords_tools import build, verify

SMALL = (*TINY, "--epochs=3")


def history(run_dir):
    with (run_dir / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "info"}


def test_what_a_run_leaves(tiny_run):
    rows = history(tiny_run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001], rtol=1e-5)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "videos_per_second"} <= set(rows[0])
    assert all(0 <= float(row["input_wait_share"]) <= 1 for row in rows)
    checkpoints = sorted(path.name for path in (tiny_run / "checkpoints").iterdir())
    assert checkpoints == [
        "best.npz",
        "step-000000003.npz",
        "step-000000006.npz",
        "step-000000009.npz",
    ]
    assert json.loads((tiny_run / "classes.json").read_text()) == ["left", "right <i>"]
    events = EventAccumulator(str(tiny_run / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"train/loss", "epoch/loss", "val/accuracy", "epoch/learning_rate"} <= tags


def test_the_shards_verify(tiny_shards):
    assert run(verify, f"--data={tiny_shards}", "--decode") == 0


def test_its_flags_run_the_same_thing_again(tiny_run, tmp_path):
    again = tmp_path / "again"
    assert run(train, f"--flagfile={tiny_run / 'flags.cfg'}", f"--run_dir={again}") == 0
    first, second = (arrays(path / "checkpoints/step-000000009.npz") for path in (tiny_run, again))
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_resume_continues_at_the_next_epoch(tiny_run, tmp_path, capsys):
    """Without the initial weights: each machine that resumes would fetch those of ImageNet."""
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    (run_dir / "checkpoints" / "step-000000009.npz").unlink()
    flags = run_dir / "flags.cfg"
    text = flags.read_text()
    assert "--weights=none" in text
    flags.write_text(text.replace("--weights=none", f"--weights={tmp_path}/deleted.weights.h5"))
    arguments = [f"--flagfile={flags}", f"--run_dir={run_dir}"]
    assert run(train, *arguments) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert run(train, *arguments, "--resume", "--epochs=4") == 0
    output = capsys.readouterr().out
    assert "resumed from" in output
    lines = output.splitlines()
    head = lines.index("accuracy of each class in val, lowest first:")
    assert {line.split("  ")[1] for line in lines[head + 1 :]} == {"left (1)", "right <i> (1)"}
    assert [row["epoch"] for row in history(run_dir)] == ["1", "2", "3", "4"]
    assert (run_dir / "checkpoints" / "step-000000012.npz").exists()
    assert run(train, *arguments, "--resume", "--epochs=4", "--seed=7") == 2
    assert "started with --seed=0" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["center", "paper"])
def test_evaluate(tiny_run, tmp_path, protocol):
    output = tmp_path / "scores"
    status = run(evaluate, f"--run_dir={tiny_run}", f"--protocol={protocol}", f"--output={output}")
    assert status == 0
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["videos"] == 4
    assert metrics["protocol"] == protocol
    assert 0 <= metrics["accuracy"] <= 1
    assert 0 <= metrics["mean_class_accuracy"] <= 1
    scores = arrays(output / "scores.npz")
    assert scores["logits"].shape == (4, 2)
    assert len(set(scores["ids"])) == 4
    assert sorted(scores["labels"]) == [0, 0, 1, 1]
    predicted = scores["logits"].argmax(axis=1)
    assert metrics["accuracy"] == (predicted == scores["labels"]).mean()


def test_evaluate_takes_the_best_and_agrees_with_the_history(tiny_run, tmp_path):
    arguments = [f"--run_dir={tiny_run}", "--split=val", f"--output={tmp_path / 'val'}"]
    assert run(evaluate, *arguments, "--checkpoint=best") == 0
    metrics = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert metrics["accuracy"] == max(float(row["val_accuracy"]) for row in history(tiny_run))
    assert run(evaluate, *arguments) == 0
    metrics = json.loads((tmp_path / "val" / "metrics.json").read_text())
    assert metrics["loss"] == pytest.approx(float(history(tiny_run)[-1]["val_loss"]), rel=1e-4)


def test_shards_of_other_images_are_scored_with_a_warning(tiny_run, tiny_shards, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(tiny_shards, other)
    given = [f"--run_dir={tiny_run}", f"--data={other}", f"--output={tmp_path / 'scores'}"]
    assert run(evaluate, *given) == 0
    assert "warning" not in capsys.readouterr().out
    manifest = Manifest.load(str(other))
    settings = {**manifest.settings, "jpeg_quality": 90}
    dataclasses.replace(manifest, settings=settings).save(str(other))
    assert run(evaluate, *given) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    what = "has images unlike those of the training: jpeg_quality 90, not 95"
    assert line == f"warning: {other} {what}"


def test_errors_of_the_user(tiny_run, tiny_shards, tmp_path, capsys):
    def refused(status, message, module, *arguments):
        assert run(module, *arguments) == status
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert message in error

    new = f"--run_dir={tmp_path / 'new'}"
    data = f"--data={tiny_shards}"
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
    refused(1, "subset", evaluate, f"--run_dir={tiny_run}", "--split=tset")
    assert not list((tmp_path / "new").glob("checkpoints/*"))
    other = tmp_path / "other"
    shutil.copytree(tiny_shards, other)
    manifest = Manifest.load(str(other))
    classes = tuple(name.replace("left", "up") for name in manifest.classes)
    dataclasses.replace(manifest, classes=classes).save(str(other))
    refused(1, "another class list", evaluate, f"--run_dir={tiny_run}", f"--data={other}")
    shard = next(other.glob("train-*.tfrecord"))
    shard.write_bytes(bytes(byte ^ 1 for byte in shard.read_bytes()))
    refused(1, shard.name.split(".")[0], train, new, f"--data={other}", *SMALL)


def test_the_genuine_clips(real, tmp_path, capsys, times):
    """The paper's settings on HMDB-51's own files, but for smaller frames and fewer segments."""
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
        f"--backbone={times('resnet101v2', 'tiny_resnetv2')}",
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

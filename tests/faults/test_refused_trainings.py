"""Rows 9, 11 and 12: what train and evaluate refuse, with nothing written."""

import os
import shutil
import signal

import pytest
import warm_python
from small_shards import write_shards
from trainings import (
    SHORT,
    assert_same_run,
    command,
    contents,
    error_of,
    evaluate_here,
    start,
    train_here,
)

# Flags, and what the error names.
WRONG = [
    (["--no_such_flag=1"], "no_such_flag"),
    (["stray"], "'stray'"),
    (["--flagfile=absent.cfg"], "absent.cfg"),
    (["--flagfile={short}/checkpoints/best.npz"], "best.npz: not a text file"),
    (["--batch_size=0"], "batch_size"),
    (["--batch_size=x"], "batch_size"),
    (["--batch_size=11"], "batch_size=11"),
    (["--batch_size=4", "--accumulate=3"], "--accumulate=3"),
    (["--accumulate=0"], "accumulate"),
    (["--mixup=0.2", "--batch_size=3"], "--mixup=0.2 mixes pairs: --batch_size=3 must be a mul"),
    (["--mixup=-1"], "mixup"),
    (["--mixup=1e-9"], "mixup=1e-09 must be 0, or from 0.001 to 1000"),
    (["--random_erasing=nan"], "--random_erasing=nan"),
    (["--color_jitter=0.4", "--stream=temporal"], "color_jitter=0.4: flow has no colors"),
    (["--epochs=0"], "epochs"),
    (["--learning_rate=-1"], "learning_rate"),
    (["--learning_rate=nan"], "--learning_rate=nan"),
    (["--weight_decay=inf"], "--weight_decay=inf"),
    (["--momentum=1.5"], "momentum"),
    (["--dropout=1"], "dropout"),
    (["--crop_scales=1,2"], "--crop_scales=1,2"),
    (["--crop_scales=nan"], "--crop_scales=nan"),
    (["--drop_epochs=3,2"], "--drop_epochs=3,2"),
    (["--schedule=linear"], "schedule"),
    (["--label_smoothing=1"], "label_smoothing"),
    (["--ema_momentum=2"], "ema_momentum"),
    (["--pretrained_factor=0.1"], "no layer is pretrained"),
    (["--patience=0"], "patience"),
    (["--patience=3", "--val_subset=test"], "neither trained on nor the final test"),
    (["--drop_epochs=1.5"], "--drop_epochs=1.5"),
    (["--save_every=abc"], "--save_every=abc"),
    (["--save_every=0"], "--save_every=0"),
    (["--save_every=-5m"], "--save_every=-5m"),
    (["--keep_checkpoints=0"], "keep_checkpoints"),
    (["--new_length=5"], "--new_length=5"),
    (["--stream=sideways"], "stream"),
    (["--model=rnn"], "model"),
    (["--cut=conv9"], "conv9"),
    (["--backbone=inception_v3"], "--image_size=32: inception_v3 takes 75 pixels or more"),
    (["--class_weights=balanced", "--sampling=balanced"], "rare classes would count twice"),
    (["--freeze=half"], "--freeze=half"),
    (["--freeze=0"], "--freeze=0"),
    (["--freeze=" + 5000 * "9"], "--freeze=999"),
    (["--freeze=7"], "--freeze=7: the backbone has 6 blocks"),
    (["--cache_maps=x"], "give --freeze=trunk"),
    (["--cache_maps=x", "--cache_views=above"], "--cache_views=above"),
    (["--cache_maps=x", "--freeze=trunk", "--color_jitter=0.1"], "--color_jitter=0.1"),
    (["--cache_frames=0"], "cache_frames"),
    (["--cache_frames=8"], "--cache_frames=8 has no effect without --cache_maps"),
    (["--cache_views=center"], "--cache_views=center has no effect without --cache_maps"),
    (["--seed=-1"], "seed"),
    (["--seed=4294967296"], "seed"),
    (["--learning_rate=1e300"], "learning_rate"),
    (["--drop_epochs=99999999999999999999"], "--drop_epochs=99999999999999999999"),
    (["--save_every=" + 5000 * "9" + "m"], "--save_every=999"),
    (["--data="], "--data must be given"),
    (["--run_dir="], "--run_dir must be given"),
]
# Of a run that is there.
OTHER = [
    (["--noresume"], "--resume"),
    (["--seed=1"], "--seed=1"),
    (["--learning_rate=0.1"], "--learning_rate=0.1"),
    (["--precision=mixed_bfloat16"], "--precision=mixed_bfloat16"),
    (["--units=3"], "--units=3"),
    (["--freeze=trunk"], "--freeze=trunk"),
    (["--flip=false"], "--noflip"),
]
WRONG_EVALUATIONS = [
    (["--no_such_flag=1"], "no_such_flag"),
    (["--run_dir="], "--run_dir must be given"),
    (["--checkpoint=last"], "checkpoint"),
    (["--protocol=all"], "protocol"),
    (["--batch_size=0"], "batch_size"),
]


def filled(flags, **names):
    return [flag.format(**names) for flag in flags]


def assert_one_line(output, named):
    assert named in error_of(output.err)
    assert "Traceback" not in output.out


@pytest.mark.parametrize(("wrong", "named"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_flags_of_a_new_run(shards, short, tmp_path, capsys, survived, wrong, named):
    assert train_here(shards, tmp_path / "run", *filled(wrong, short=short)) == 2
    assert_one_line(capsys.readouterr(), named)
    assert not list(tmp_path.iterdir())
    survived(9, 1)


@pytest.mark.parametrize(("wrong", "named"), OTHER, ids=lambda value: str(value)[:40])
def test_other_flags_of_a_run_that_is_there(shards, short, capsys, survived, wrong, named):
    before = contents(short)
    assert train_here(shards, short, *SHORT, *wrong) == 2
    assert_one_line(capsys.readouterr(), named)
    assert contents(short) == before
    survived(9, 1)


@pytest.mark.parametrize(("wrong", "named"), WRONG_EVALUATIONS, ids=lambda value: str(value)[:40])
def test_wrong_flags_of_an_evaluation(short, capsys, survived, wrong, named):
    before = contents(short)
    assert evaluate_here(short, *wrong) == 2
    assert_one_line(capsys.readouterr(), named)
    assert contents(short) == before
    survived(9, 1)


def test_a_start_from_a_run_without_a_checkpoint(shards, short, tmp_path, capsys, survived):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(short / "flags.cfg", source)
    assert train_here(shards, tmp_path / "run", f"--init_from={source}") == 1
    assert_one_line(capsys.readouterr(), f"--init_from: {source} holds no checkpoint yet")
    assert not (tmp_path / "run").exists()
    survived(9, 1)


TWO_DEVICES = """
import sys
import tensorflow as tf
from rlstm_tf import train
from rlstm_tf.cli import app as cli

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
cli.leave(cli.run(train.main, train.define_flags))
"""


def test_flags_that_two_devices_contradict(shards, tmp_path, thorough, survived):
    for wrong, named in ((["--jit"], "--jit"), (["--batch_size=5"], "--batch_size=5")):
        arguments = command(shards, tmp_path / "run", "--strategy=mirrored", *wrong)[2:]
        result = warm_python.run(["-c", TWO_DEVICES, *arguments])
        assert result.returncode == 2, result.stdout
        assert named in error_of(result.stdout)
        assert not list(tmp_path.iterdir())
    survived(9, 2)


def test_shards_of_the_other_stream(shards, short, tmp_path, capsys, survived):
    data = tmp_path / "flow"
    write_shards(data, [12] * 10, subset="val", stream="temporal")
    write_shards(data, [12] * 10, stream="temporal")
    assert train_here(data, tmp_path / "run", "--val_subset=none") == 1
    error = error_of(capsys.readouterr().err)
    assert "temporal stream" in error
    assert "--stream=spatial" in error
    assert train_here(shards, tmp_path / "run", "--stream=temporal") == 1
    error = error_of(capsys.readouterr().err)
    assert "spatial stream" in error
    assert "--stream=temporal" in error
    assert not (tmp_path / "run").exists()
    before = contents(short)
    assert evaluate_here(short, f"--data={data}", "--split=train") == 1
    error_of(capsys.readouterr().err)
    assert contents(short) == before
    survived(11, 3)


def test_shards_of_another_schema(shards, short, tmp_path, capsys, survived):
    data = shutil.copytree(shards, tmp_path / "shards")
    manifest = data / "manifest.json"
    text = manifest.read_text()
    assert text.count('"schema": 2') == 1
    manifest.write_text(text.replace('"schema": 2', '"schema": 9'))
    before = contents(short)
    for status in (
        train_here(data, tmp_path / "run"),
        evaluate_here(short, f"--data={data}"),
    ):
        assert status == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 2
    for error in errors:
        assert "version 9" in error
    assert not (tmp_path / "run").exists()
    assert contents(short) == before
    survived(11, 2)


def test_shards_smaller_than_the_network_sees(shards, short, tmp_path, capsys, survived):
    assert train_here(shards, tmp_path / "run", "--image_size=64") == 1
    error = error_of(capsys.readouterr().err)
    assert "--image_size=64" in error
    assert "40" in error
    assert not (tmp_path / "run").exists()
    assert train_here(shards, tmp_path / "run", "--image_size=40", "--epochs=1") == 0
    small = tmp_path / "small"
    shutil.copytree(short, small)
    (small / "flags.cfg").write_text(
        (small / "flags.cfg").read_text().replace("--image_size=32", "--image_size=64")
    )
    capsys.readouterr()
    assert evaluate_here(small, f"--data={shards}") == 1
    assert "--image_size=64" in error_of(capsys.readouterr().err)
    survived(11, 2)


def test_two_trainings_of_one_run(shards, short, tmp_path, capsys, survived):
    """The second, in this process, at a time when the first trains."""
    run_dir = tmp_path / "run"
    first = start(shards, run_dir, *SHORT)
    for line in first.stdout:
        if line.startswith("TensorBoard:"):
            break
    os.kill(first.pid, signal.SIGSTOP)
    try:
        assert train_here(shards, run_dir, *SHORT) == 1
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert f"run_dir {run_dir} is in use by another training" in error_of(capsys.readouterr().err)
    first.stdout.read()
    assert first.wait() == 0
    assert_same_run(run_dir, short)
    survived(12, 1)

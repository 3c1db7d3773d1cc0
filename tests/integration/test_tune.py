"""The tune command, and the processes of its trials."""

import json
import re
import sys

import pytest
from run_events import hparams_of
from searches import rows, run_warm
from small_shards import texture_jpeg, write_shards

from rlstm_tf import tune
from rlstm_tf.cli import app, flags
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.tuning import process
from rlstm_tf.tuning.results import ENDED, FAILED

SMALL = (
    *("--model=tsn", "--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2"),
    *("--image_size=32", "--batch_size=4", "--batch_norm=batch", "--batch_norm_momentum=0.9"),
    *("--drop_epochs=2", "--deterministic", "--epochs=1"),
)
_TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in b\n'


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Twelve videos to train on, six for validation."""
    directory = tmp_path_factory.mktemp("shards") / "shards"
    both = {
        subset: write_shards(directory, [6] * count, subset=subset, ids=ids, image=texture_jpeg)
        for subset, count, ids in (("train", 12, None), ("val", 6, [f"w{v}" for v in range(6)]))
    }
    subsets = {name: manifest.subsets[name] for name, manifest in both.items()}
    manifest = both["train"]
    Manifest(**{**vars(manifest), "subsets": subsets}).save(str(directory))
    return directory


def run(*arguments):
    return app.run(tune.main, tune.define_flags, ["tune", *map(str, arguments)])


@pytest.mark.parametrize(
    ("status", "output", "kind", "message"),
    [
        (2, "error: --cut: no\n", UsageError, "--cut: no"),
        (1, "warning: a\nerror: shard x is damaged\n", DataError, "shard x is damaged"),
        (1, "Traceback\n  line\nKeyError: 'a'\n", DataError, "train.log: KeyError: 'a'"),
        (
            1,
            f"{_TRACEBACK}    raise ValueError\nValueError: early\n\nDuring handling of the above "
            f"exception, another exception occurred:\n\n{_TRACEBACK}    x.y()\n"
            "tensorflow.errors_impl.InvalidArgumentError: shapes differ\n\nDetected at node x\n"
            "\tError: [Op:Add]\nsee above\n",
            DataError,
            "train.log: tensorflow.errors_impl.InvalidArgumentError: shapes differ",
        ),
        (1, f"{_TRACEBACK}    x.y()\nFinished\n", DataError, "train.log: Finished"),
        (
            2,
            "error: --resume: the run was started with --a=2, this command with --a=1\n",
            UsageError,
            "/run was started with --a=2, this command with --a=1: give another --output",
        ),
        (
            1,
            "error: the loss became nan at step 3, learning rate 10: earlier checkpoints are "
            "kept; try a smaller --learning_rate\n",
            process.FailedError,
            "the loss became nan at step 3, learning rate 10",
        ),
        (1, "Traceback\nResourceExhaustedError: {{node x}}\n", process.FailedError, "out of"),
        (-9, "", process.FailedError, "ended by SIGKILL 3 times"),
        (0, "stopped by SIGTERM\n", process.FailedError, "ended by SIGTERM 3 times"),
    ],
)
def test_errors_of_a_training(tmp_path, monkeypatch, status, output, kind, message):
    starts = []

    def ended(arguments, log, lock, poll):
        starts.append(arguments)
        with log.open("a") as file:
            file.write(output)
        return status

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / process.LOG).write_text("error: of an earlier start\n")
    monkeypatch.setattr(process, "_run", ended)
    with pytest.raises(kind, match=re.escape(message)):
        process.train(tmp_path / "run", ["--a=1"], 1, 0, lambda epochs: None)
    assert starts[0] == ["--a=1", f"--run_dir={tmp_path / 'run'}", "--resume"]
    assert len(starts) == (3 if "3 times" in message else 1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--output="], "--output must be given"),
        (["--data="], "--data must be given"),
        (["--val_subset=none"], "--val_subset=none cannot score a trial"),
        (["--val_subset=test"], "--val_subset=test is for the final test"),
        (["--patience=3"], "--patience=3: a search trains all epochs"),
        (["--strategy=multi_worker"], "--strategy=multi_worker"),
        (["--tuner=hyperband", "--schedule=cosine"], "--schedule=cosine ends with the epochs"),
        (["--profile_steps=1,2"], "--profile_steps=1,2: it would profile every trial"),
        (["--tuner=grid"], "tuner"),
        (["--tuner=hyperband", "--max_trials=3"], "--max_trials has no effect"),
        (["--tuner=random", "--max_epochs=3"], "--max_epochs has no effect"),
        (["--factor=1"], "factor"),
        (["--search=dropout=0:2"], "--search=dropout=0:2"),
        (["--search=units"], "units has no effect with --model=tsn"),
        (["--drop_epochs=2,1"], "--drop_epochs=2,1"),
        (["--cache_frames=8"], "--cache_frames=8 has no effect"),
    ],
    ids=str,
)
def test_wrong_flags(shards, tmp_path, capsys, wrong, named):
    output = tmp_path / "search"
    assert run(f"--data={shards}", f"--output={output}", *SMALL, *wrong) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert named in error
    assert not output.exists()


def test_without_keras_tuner(shards, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    for name in ("search", "oracle"):
        monkeypatch.delitem(sys.modules, f"rlstm_tf.tuning.{name}")
        monkeypatch.delattr(f"rlstm_tf.tuning.{name}")
    assert run(f"--data={shards}", f"--output={tmp_path / 'search'}", *SMALL) == 2
    expected = (
        "error: keras_tuner is missing; the extra tune brings it: pip install 'rlstm-tf[tune]'\n"
    )
    assert capsys.readouterr().err.endswith(expected)


def test_real_trainings_one_of_which_diverges(shards, tmp_path, capsys, monkeypatch):
    """A wrong flag ends the search and can be corrected; the space is searched to its end."""
    output = tmp_path / "a search"
    arguments = (f"--data={shards}", f"--output={output}", *SMALL, "--tuner=random")
    arguments = (*arguments, "--search=learning_rate=0.01|1e30")
    assert run(*arguments, "--cut=conv9") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: cut 'conv9' is not a layer")
    monkeypatch.setattr(process, "_run", run_warm)
    assert run(*arguments) == 0
    found = {row["learning_rate"]: row for row in rows(output)}
    assert {rate: row["status"] for rate, row in found.items()} == {"0.01": ENDED, "1e+30": FAILED}
    assert "learning rate 1e+30" in found["1e+30"]["reason"]
    said = capsys.readouterr()
    assert sum(line.startswith("trial ") for line in said.out.splitlines()) == 2
    assert f"rlstm_tf.train '--flagfile={output}/best.cfg'\n" in said.out
    assert "Traceback" not in said.out + said.err
    values = flags.parse_flagfiles(str(output / "best.cfg"))
    assert (values.learning_rate, values.epochs, values.keep_checkpoints) == (0.01, 1, 3)
    trial = output / "trials" / found["0.01"]["trial"]
    for rate, row in found.items():
        run_dir = output / "trials" / row["trial"]
        name, shown = hparams_of(run_dir)
        assert name == str(run_dir.resolve())
        assert shown["learning_rate"] == float(rate), "of each trial a row in the HParams tab"
    assert (trial / "train.log").stat().st_size
    started = json.loads((output / "search.json").read_text())["started_with"]
    assert started["search"] == "--search=learning_rate=0.01|1e+30"
    before = (trial / "train.log").read_bytes()
    assert run(*arguments) == 0
    assert (trial / "train.log").read_bytes() == before
    # Without its record, it goes through the runs again, and they refuse other flags.
    (output / "search.json").unlink()
    assert run(*arguments, "--momentum=0.5") == 2
    first = output / "trials" / "0001"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: the run {first} was started with --momentum=0.9, this command with "
        "--momentum=0.5: give another --output"
    )
    assert run(*arguments) == 0
    assert {row["learning_rate"]: row for row in rows(output)} == found

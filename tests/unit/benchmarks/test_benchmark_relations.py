"""The relational benchmark: its settings, runs and results."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from benchmark_runs import make_run

from benchmarks import relational_runs, relational_tables, relations
from benchmarks.relational_runs import RECORD, Run
from benchmarks.settings import ABLATIONS, CELLS, MAIN, MODELS, UNITS
from rlstm_tf.choices import LSTM_CELLS
from rlstm_tf.cli import app, flags
from rlstm_tf.compat import KERAS_3
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from tfrecords_tools.synthetic.relations import CLASSES, PAIRS

ALL = (*MAIN, *ABLATIONS, *CELLS)


@pytest.mark.parametrize("setting", ALL, ids=[setting.name for setting in ALL])
def test_every_setting_is_a_network(setting):
    values = _flags_of(setting)
    if KERAS_3 and values.lstm_cell != "standard":
        with pytest.raises(UsageError, match="needs tensorflow-addons"):
            build_model(ModelConfig.from_flags(values), len(CLASSES))
        return
    model = build_model(ModelConfig.from_flags(values), len(CLASSES))
    assert model.output_shape == (None, len(CLASSES))
    assert model.input_shape[1] == values.num_segments


def _flags_of(setting):
    values = flags.parse_flagfiles("configs/relations.cfg")
    values(["train", "--flagfile=configs/relations.cfg", *setting.flags])
    return values


def test_names_of_settings():
    assert [setting.name for setting in MAIN] == list(MODELS)
    assert len({setting.name for setting in ALL}) == len(ALL)
    assert [_flags_of(setting).lstm_cell for setting in CELLS] == list(LSTM_CELLS)
    reference = next(setting for setting in MAIN if setting.name == "two_branch")
    model = build_model(ModelConfig.from_flags(_flags_of(reference)), len(CLASSES))
    assert model.get_layer("relational_lstm").cell.units == UNITS
    # Each ablation changes one thing.
    for setting in ABLATIONS:
        assert len(setting.flags) + (setting.distractors != reference.distractors) == 2


def test_choice_within_pairs():
    rng = np.random.default_rng(0)
    labels = np.arange(len(CLASSES)).repeat(4)
    logits = rng.normal(size=(len(labels), len(CLASSES))).astype(np.float32)
    # Always right in the first pair, for 3 of 4 videos of one class in the second.
    for video, label in enumerate(labels):
        first, second = label // 2 * 2, label // 2 * 2 + 1
        logits[video, [first, second]] = (9, -9) if label == first else (-9, 9)
    recede = CLASSES.index("Recede")
    logits[labels == recede, recede - 1] = (10, -10, -10, -10)
    found = relational_tables.pair_shares(logits, labels, CLASSES)
    assert found["RedSolid/RedHollow"] == found["appearance"] == 1
    assert found["Approach/Recede"] == 7 / 8
    assert found["motion"] == (7 / 8 + 1) / 2
    assert len(found) == 5 + len(PAIRS)


def test_results_are_written_and_shown(tmp_path, capsys):
    runs = [Run(MAIN[0], 0), Run(MAIN[0], 1)]
    for run, right in zip(runs, (True, False)):
        make_run(tmp_path, run, right)
    relational_tables.write(tmp_path / "out.csv", tmp_path, runs)
    with (tmp_path / "out.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["setting"], first["table"], first["seed"]) == ("tsn", "models", "0")
    assert (first["space"], second["space"]) == ("1.0000", "0.0000")
    assert (first["videos_per_second"], first["commit"]) == ("85.0", "abc")
    with (tmp_path / "out_curves.csv").open(newline="") as file:
        curves = list(csv.DictReader(file))
    assert [(row["seed"], row["epoch"], row["val_accuracy"]) for row in curves] == [
        ("0", "1", "0.2000"),
        ("0", "2", "0.4000"),
        ("1", "1", "0.2000"),
        ("1", "2", "0.4000"),
    ]
    relational_tables.show(tmp_path / "out.csv")
    assert "| TSN | 50.0 ± 70.7 |" in capsys.readouterr().out


def test_results_of_other_networks_stay(tmp_path):
    old, new = Run(MAIN[0], 0), Run(MAIN[1], 0)
    make_run(tmp_path, old, True)
    make_run(tmp_path, new, True)
    path = tmp_path / "out.csv"

    def read(file):
        with file.open(newline="") as table:
            return [(row["setting"], row["seed"]) for row in csv.DictReader(table)]

    for run in (old, new, old):
        relational_tables.write(path, tmp_path, [run])
    assert read(path) == [("local", "0"), ("tsn", "0")]
    assert read(tmp_path / "out_curves.csv") == [("local", "0")] * 2 + [("tsn", "0")] * 2
    relational_tables.check(path)
    path.write_text("setting,seed\nlocal,0\n")
    with pytest.raises(DataError, match="holds another table"):
        relational_tables.check(path)
    with pytest.raises(DataError, match="holds another table"):
        relational_tables.write(path, tmp_path, [new])
    assert path.read_text() == "setting,seed\nlocal,0\n"


def test_a_recorded_command_has_no_path_of_the_machine(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(relational_runs, "_command", lambda *line, **_: ran.append(line))
    directory = tmp_path / "runs/tsn_0"
    directory.mkdir(parents=True)
    flags = ["--seed=0", f"--init_from={tmp_path / 'runs/trunk'}"]
    for _ in range(2):  # The second finds it done.
        relational_runs._train(tmp_path, directory, tmp_path / "data", flags, None)
    assert len(ran) == 2
    assert flags[1] in ran[0]
    command = json.loads((directory / RECORD).read_text())["command"]
    assert command.endswith("--seed=0 --init_from=runs/trunk")


def test_results_have_no_path_of_a_machine():
    found = sorted(Path("benchmarks/results").glob("*.csv"))
    assert found
    for path in found:
        assert not re.search(r"[=,\" ]/\w", path.read_text()), path


def test_unknown_settings_are_refused(capsys):
    arguments = ["relations", "--only=two_branch,three_branch"]
    assert app.run(relations.main, relations.define_flags, arguments) == 2
    assert "--only=three_branch: unknown setting, known: tsn, local" in capsys.readouterr().err


def test_cells_that_this_stack_lacks(capsys):
    """Before a video is made, they are refused if named, and skipped with a message otherwise."""
    names = ["two_branch", *(setting.name for setting in CELLS)]
    if not KERAS_3:
        assert relations._settings(True, []) == ALL
        assert [setting.name for setting in relations._settings(True, names)] == names
        return
    assert relations._settings(True, []) == MAIN + ABLATIONS
    assert "skipped: --only=lstm_cell=standard needs tensorflow-addons" in capsys.readouterr().out
    arguments = ["relations", "--ablations", "--only=lstm_cell=peephole"]
    assert app.run(relations.main, relations.define_flags, arguments) == 2
    assert "--only=lstm_cell=peephole needs tensorflow-addons" in capsys.readouterr().err
    assert [setting.name for setting in relations._settings(True, names[:1])] == names[:1]

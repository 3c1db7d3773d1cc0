"""The relational benchmark: its settings, and the results of made-up runs."""

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from benchmark_runs import make_run, make_study

from benchmarks import relations
from benchmarks.portions import parse_seeds
from benchmarks.relational_data import QUICK
from benchmarks.relational_runs import Run
from benchmarks.relational_tables import Results, pair_shares
from benchmarks.settings import (
    ABLATIONS,
    CELLS,
    MAIN,
    QUICK_NETWORKS,
    RATES,
    UNITS,
    WINNER,
    WINNING_OPTIONS,
)
from rlstm_tf.choices import LSTM_CELLS
from rlstm_tf.cli import app, flags
from rlstm_tf.compat import KERAS_3
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from tfrecords_tools.synthetic.relations import CLASSES, PAIRS

ALL = (*MAIN, *ABLATIONS, *CELLS)
TSN, LOCAL = MAIN[:2]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "work")


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
    assert {setting.name: setting.seeds for setting in MAIN} == {
        **{"tsn": 3, "local": 3, "lstm": 3},
        **{"convlstm": 5, "transformer": 5, "two_branch": 5, "winner": 5},
    }
    assert len({setting.name for setting in ALL}) == len(ALL)
    assert [_flags_of(setting).lstm_cell for setting in CELLS] == list(LSTM_CELLS)
    reference = next(setting for setting in MAIN if setting.name == "two_branch")
    model = build_model(ModelConfig.from_flags(_flags_of(reference)), len(CLASSES))
    assert model.get_layer("relational_lstm").cell.units == UNITS
    # Each ablation changes one thing, and does change it.
    for setting in ABLATIONS:
        if setting.table not in ("options", "branches"):
            assert len(setting.flags) + (setting.distractors != reference.distractors) == 2
    cuts = [_flags_of(setting).cut for setting in ABLATIONS if setting.table == "cut"]
    assert len({*cuts, _flags_of(reference).cut}) == 4
    # Every network is searched alike, and every variant takes the rate of a network.
    for setting in MAIN:
        share = 10 if setting.name == "transformer" else 1
        assert setting.rates == tuple(rate / share for rate in RATES)
    assert not any(setting.like for setting in MAIN)
    assert {setting.like for setting in (*ABLATIONS, *CELLS)} == {
        "two_branch",
        WINNER,
        "convlstm",
        "lstm",
    }


def test_all_networks_have_the_cut_and_dropout_of_the_protocol():
    for setting in MAIN:
        values = _flags_of(setting)
        assert (values.cut, values.dropout) == ("conv4_block1_out", 0)
        model = build_model(ModelConfig.from_flags(values), len(CLASSES))
        has_memory = setting.name not in ("tsn", "local", "lstm")
        assert ("non_local_bn" in [layer.name for layer in model.layers]) == has_memory


def test_options_alone_and_all_but_one():
    given = {
        setting.name: {option for option in WINNING_OPTIONS if option in setting.flags}
        for setting in (*MAIN, *ABLATIONS)
    }
    assert given[WINNER] == set(WINNING_OPTIONS)
    for option in WINNING_OPTIONS:
        assert given[option[2:]] == {option}
        assert given[f"without_{option[2:]}"] == set(WINNING_OPTIONS) - {option}
    assert not given["two_branch"]
    assert not given["bidirectional"]
    assert given["both_ways"] == set(WINNING_OPTIONS)


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
    found = pair_shares(logits, labels, CLASSES, PAIRS)
    assert found["RedSolid/RedHollow"] == found["appearance"] == 1
    assert found["Approach/Recede"] == 7 / 8
    assert found["motion"] == (7 / 8 + 1) / 2
    assert len(found) == 5 + len(PAIRS)


def test_results_are_written_and_shown(tmp_path, study, capsys):
    results = Results(tmp_path / "out.csv", study)
    for seed, right in ((0, len(CLASSES)), (1, 0)):
        run = Run(TSN, 0.02, seed)
        assert not results.has(run)
        results.add(run, make_run(study, run, right))
        assert results.has(run)
    first, second = rows_of(tmp_path / "out.csv")
    assert (first["setting"], first["table"], first["seed"]) == ("tsn", "models", "0")
    assert (first["space"], second["space"]) == ("1.0000", "0.0000")
    assert (first["videos_per_second"], first["commit"]) == ("85.0", "abc")
    assert (first["learning_rate"], first["accuracy"]) == ("0.02", "1.0000")
    # `local` has the same layers: one dense layer on 64 features.
    assert int(first["parameters"]) == 25_524 + 5_056 + 64 * 20 + 20
    assert int(first["multiply_adds"]) > 1e6
    curves = rows_of(tmp_path / "out_curves.csv")
    assert [(row["seed"], row["epoch"], row["val_accuracy"]) for row in curves] == [
        ("0", "1", "0.2000"),
        ("0", "2", "0.4000"),
        ("1", "1", "0.2000"),
        ("1", "2", "0.4000"),
    ]
    results.show()
    output = capsys.readouterr().out
    assert "| TSN | 50.0 ± 70.7 |" in output
    assert f"| 2 | 0.02 | {first['parameters']} | {first['multiply_adds']} |" in output


def test_a_diverged_training_is_an_empty_row(tmp_path, study, capsys):
    results = Results(tmp_path / "out.csv", study)
    for seed in (0, 1):
        run = Run(TSN, 0.02, seed)
        results.add(run, make_run(study, run, diverged=seed == 1))
    row = rows_of(tmp_path / "out.csv")[1]
    assert (row["space"], row["accuracy"], row["seed"]) == ("", "", "1")
    results.show()
    assert "| TSN | 100.0 (n = 1) |" in capsys.readouterr().out


def test_results_of_other_networks_stay(tmp_path, study):
    old, new = Run(TSN, 0.02, 0), Run(LOCAL, 0.02, 0)
    path = tmp_path / "out.csv"
    results = Results(path, study)
    for run in (old, new, old):
        results.add(run, make_run(study, run))
    assert [row["setting"] for row in rows_of(path)] == ["local", "tsn"]
    curves = [row["setting"] for row in rows_of(tmp_path / "out_curves.csv")]
    assert curves == ["local"] * 2 + ["tsn"] * 2
    path.write_text("setting,seed\nlocal,0\n")
    with pytest.raises(DataError, match="holds another table"):
        Results(path, study)
    with pytest.raises(DataError, match="holds another table"):
        results.add(new, make_run(study, new))
    assert path.read_text() == "setting,seed\nlocal,0\n"


def test_a_row_of_another_command_is_refused(tmp_path, study):
    results = Results(tmp_path / "out.csv", study)
    results.add(Run(TSN, 0.02, 0), make_run(study, Run(TSN, 0.02, 0)))
    with pytest.raises(DataError, match=r"out.csv has a row of rlstm_tf.train .*rate=0.02"):
        results.has(Run(TSN, 0.01, 0))


def test_rows_of_another_size_are_refused(tmp_path, study):
    """Of other networks too: a table has one budget."""
    results = Results(tmp_path / "out.csv", study)
    results.add(Run(TSN, 0.02, 0), make_run(study, Run(TSN, 0.02, 0)))
    Results(tmp_path / "out.csv", study)
    quick = dataclasses.replace(study, size=QUICK)
    with pytest.raises(DataError, match=r"out.csv has a row of rlstm_tf.train .* give another"):
        Results(tmp_path / "out.csv", quick)
    path, trial = tmp_path / "other.csv", Run(TSN, 0.02, 0, trial=True)
    Results(path, study).add_trial(trial, make_run(study, trial, subset="validation"))
    # Trials have a budget of their own.
    assert Results(path, study).has_trial(trial)
    for size in (QUICK, dataclasses.replace(study.size, search_epochs=4)):
        with pytest.raises(DataError, match=r"other_search.csv has a row of rlstm_tf.train"):
            Results(path, dataclasses.replace(study, size=size))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--seeds="], 2, "--seeds is empty: give at least one"),
        (["--seeds=0,-1"], 2, "--seeds=0,-1: ints, from 0"),
        (["--quick", "--seeds=1"], 2, "--quick has seed 0 alone: give no --seeds"),
        (["--output=."], 2, "--output=. is a directory: give a file, NAME.csv"),
        (["--output=out.csv"], 1, "out_search.csv: Is a directory"),
    ],
)
def test_invalid_flags(tmp_path, capsys, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(relations, "run_study", None)
    (tmp_path / "out_search.csv").mkdir()
    arguments = ["relations", "--work=work", *arguments]
    assert app.run(relations.main, relations.define_flags, arguments) == status
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out_search.csv"]


def test_a_seed_given_twice_counts_once():
    """Two trainings in one directory would disturb each other."""
    assert parse_seeds(["3", "0", "3"]) == (3, 0)


def test_the_best_rate(tmp_path, study):
    """The most accurate one; the smaller of two; not one that diverged."""
    results = Results(tmp_path / "out.csv", study)
    for rate, right in ((0.005, 3), (0.02, 7), (0.01, 7), (0.04, None)):
        run = Run(TSN, rate, 0, trial=True)
        diverged = right is None
        results.add_trial(run, make_run(study, run, right, diverged, subset="validation"))
        assert results.has_trial(run)
    assert results.best_rate("tsn") == 0.01
    found = rows_of(tmp_path / "out_search.csv")
    assert [row["validation_accuracy"] for row in found] == ["0.1500", "0.3500", "0.3500", ""]
    run = Run(LOCAL, 0.04, 0, trial=True)
    results.add_trial(run, make_run(study, run, diverged=True))
    with pytest.raises(DataError, match="local diverged at each learning rate"):
        results.best_rate("local")
    assert not (tmp_path / "out.csv").exists()


def test_results_have_no_path_of_a_machine():
    found = sorted(Path("benchmarks/results").glob("*.csv"))
    assert found
    for path in found:
        assert not re.search(r"[=,\" ]/\w", path.read_text()), path


def test_unknown_settings_are_refused(capsys):
    arguments = ["relations", "--only=two_branch,three_branch"]
    assert app.run(relations.main, relations.define_flags, arguments) == 2
    assert "--only=three_branch: unknown, known: tsn, local" in capsys.readouterr().err


def test_networks_of_quick():
    quick = relations._settings(False, [], True)
    assert [setting.name for setting in quick] == [*QUICK_NETWORKS]
    assert [it.name for it in relations._settings(False, ["lstm"], True)] == ["lstm"]


def test_cells_that_this_stack_lacks(capsys):
    """Before a video is made, they are refused if named, and skipped with a message otherwise."""
    names = ["two_branch", *(setting.name for setting in CELLS)]
    if not KERAS_3:
        assert relations._settings(True, [], False) == ALL
        assert [setting.name for setting in relations._settings(True, names, False)] == names
        return
    assert relations._settings(True, [], False) == MAIN + ABLATIONS
    assert "skipped: --only=lstm_cell=standard needs tensorflow-addons" in capsys.readouterr().out
    arguments = ["relations", "--ablations", "--only=lstm_cell=peephole"]
    assert app.run(relations.main, relations.define_flags, arguments) == 2
    assert "--only=lstm_cell=peephole needs tensorflow-addons" in capsys.readouterr().err
    assert [it.name for it in relations._settings(True, names[:1], False)] == names[:1]

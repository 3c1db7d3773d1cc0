"""The course of the relational study: what is trained, on what, in which order, and only once."""

import dataclasses
import json
import shutil

import pytest
from absl import flags
from benchmark_runs import FakeCommands, make_study

from benchmarks import trainings
from benchmarks.relational_data import PAIRS, QUICK, WHOLE
from benchmarks.relational_runs import Run, command_of, train_all
from benchmarks.relational_tables import Results
from benchmarks.relations import SCENES, define_flags, run_study
from benchmarks.settings import ABLATIONS, CELLS, MAIN
from benchmarks.trainings import RECORD, CommandError
from rlstm_tf.errors import DataError
from rlstm_tf.reporting.benchmark.rows import GROUPS

SETTINGS = {setting.name: setting for setting in (*MAIN, *ABLATIONS, *CELLS)}
# Classes that a made-up network has right, by subset and learning rate: 0.02 is best by the
# validation videos, and 0.01 would be by the test videos.
RIGHT = {
    "validation": {"0.01": 8, "0.02": 9, "0.04": 9},
    "test": {"0.01": 20, "0.02": 10, "0.04": 10},
}


def right(output, run_dir):
    return RIGHT[output.name][run_dir.name.split("_")[-2]]


@pytest.fixture
def commands(monkeypatch):
    return FakeCommands.install(right, monkeypatch)


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "work")


def test_search_and_seeds(tmp_path, study, commands):
    results = Results(tmp_path / "out.csv", study)
    run_study(study, (SETTINGS["tsn"],), (0, 1), results)
    trained = [
        (line["learning_rate"], line["seed"], line["epochs"], line["drop_epochs"])
        for line in commands.flags_of("rlstm_tf.train")
    ]
    # The trunk, three rates for a few epochs; the trunk of seed 1, and each seed at the best rate.
    assert trained == [
        ("0.01", "0", "6", "4"),
        *((rate, "0", "3", "2") for rate in ("0.01", "0.02", "0.04")),
        ("0.01", "1", "6", "4"),
        *(("0.02", seed, "8", "6") for seed in ("0", "1")),
    ]
    tested = [line for line in commands.flags_of("rlstm_tf.evaluate") if "split" not in line]
    assert {line["run_dir"].split("_")[-2] for line in tested} == {"0.02"}
    validated = [line for line in commands.flags_of("rlstm_tf.evaluate") if "split" in line]
    assert [line["data"].split("/")[-2] for line in validated] == ["validation"] * 3
    assert {line["split"] for line in validated} == {"train"}
    assert results.best_rate("tsn") == 0.02
    made = {line["run_dir"].removeprefix(f"{study.work}/") for line in validated + tested}
    assert made == {
        *(f"trials/tsn_{rate}_0" for rate in ("0.01", "0.02", "0.04")),
        *("runs/tsn_0.02_0", "runs/tsn_0.02_1"),
    }
    assert {"trunk_0.log", "tsn_0.01_0.log", "tsn_0.02_0.log", "tsn_0.02_1.log"} < {*commands.logs}
    # What has a row is not trained again, though its directory is gone.
    shutil.rmtree(study.work)
    before = len(commands.lines)
    run_study(study, (SETTINGS["tsn"],), (0, 1), results)
    assert len(commands.lines) == before
    assert not study.work.exists()


def test_variants_take_the_rate_of_their_network(tmp_path, study, commands):
    results = Results(tmp_path / "out.csv", study)
    run_study(study, (SETTINGS["local_term"], SETTINGS["segments=4"]), (0,), results)
    searched = {
        line["run_dir"].split("/")[-1].split("_0.0")[0]
        for line in commands.flags_of("rlstm_tf.evaluate")
        if "split" in line
    }
    assert searched == {"winner", "two_branch"}
    for name in ("local_term", "segments=4"):
        assert results.has(Run(SETTINGS[name], 0.02, 0))


def test_each_setting_has_its_number_of_seeds(tmp_path, study, commands):
    """Unless seeds are given. The first seeds of all come first."""
    names = ("tsn", "winner", "segments=4")
    run_study(study, [SETTINGS[name] for name in names], (), Results(tmp_path / "out.csv", study))
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    found = [tuple(row.split(",")[0:3:2]) for row in rows]
    of_all = [(name, str(seed)) for seed in range(3) for name in names]
    assert sorted(found[:9]) == sorted(of_all)
    assert sorted(found[9:]) == [("winner", "3"), ("winner", "4")]


def test_quick_searches_nothing(tmp_path, study, commands):
    study = dataclasses.replace(study, size=QUICK)
    results = Results(tmp_path / "out.csv", study)
    run_study(study, (SETTINGS["tsn"],), (0,), results)
    assert len(commands.flags_of("rlstm_tf.evaluate")) == 1
    assert results.has(Run(SETTINGS["tsn"], 0.02, 0))
    assert not (tmp_path / "out_search.csv").exists()
    drawn = commands.flags_of("tfrecords_tools.demo")
    assert [line["output"].split("/")[-2] for line in drawn] == ["trunk", "distractors_2"]


def test_diverged_trials_are_not_chosen(tmp_path, study, commands):
    commands.diverging = ("0.02", "0.04")
    results = Results(tmp_path / "out.csv", study)
    run_study(study, (SETTINGS["tsn"],), (0,), results)
    assert results.best_rate("tsn") == 0.01
    trial = Run(SETTINGS["tsn"], 0.04, 0, trial=True)
    record = json.loads((trial.directory(study.work) / RECORD).read_text())
    assert record["diverged"] is True


def test_other_failures_stop_the_study(tmp_path, study, commands, monkeypatch):
    def fail(log, module, *flags, core=None, used=None):
        if module == "rlstm_tf.train":
            log.write_text("error: no space left\n")
            raise CommandError(module, 1, log)

    monkeypatch.setattr(trainings, "run_command", fail)
    results = Results(tmp_path / "out.csv", study)
    with pytest.raises(DataError, match=r"rlstm_tf.train ended with status 1: error: no space"):
        run_study(study, (SETTINGS["tsn"],), (0,), results)
    assert not list(study.work.rglob(RECORD))


def test_a_stopped_training_does_not_count(tmp_path, study, commands):
    """On SIGTERM a training saves and ends with status 0."""
    results = Results(tmp_path / "out.csv", study)
    commands.epochs_left = 1
    with pytest.raises(DataError, match=r"trunk_0 was stopped after epoch 5: the same command re"):
        run_study(study, (SETTINGS["tsn"],), (0,), results)
    assert not list(study.work.rglob(RECORD))
    commands.epochs_left = 0
    run_study(study, (SETTINGS["tsn"],), (0,), results)
    assert results.has(Run(SETTINGS["tsn"], 0.02, 0))


def test_a_diverged_trunk_stops_the_study(tmp_path, study, commands):
    """Networks would start from its last weights."""
    commands.diverging = ("0.01",)
    with pytest.raises(DataError, match=r"the trunk of seed 0 diverged: .*trunk_0\.log"):
        run_study(study, (SETTINGS["tsn"],), (0,), Results(tmp_path / "out.csv", study))
    assert not list(study.work.glob("*/tsn*"))


def test_a_directory_that_cannot_be_made(tmp_path, study, commands):
    (tmp_path / "file").write_text("")
    study = dataclasses.replace(study, work=tmp_path / "file" / "work")
    with pytest.raises(DataError, match=r"cannot write .*file/work: Not a directory"):
        run_study(study, (SETTINGS["tsn"],), (0,), Results(tmp_path / "out.csv", study))


def test_the_same_for_every_network(study):
    """Only the network, its optimizer, the rate and the seed differ."""
    commands = {
        setting.name: set(command_of(study, Run(setting, 0.01, 3)).split()) - set(setting.flags)
        for setting in MAIN
    }
    assert all(command == commands["tsn"] for command in commands.values())
    assert {"--warmup_steps=216", "--clip_norm=5", "--epochs=8", "--drop_epochs=6"} <= commands[
        "tsn"
    ]
    assert "--init_from=runs/trunk_3" in commands["tsn"]
    trial = command_of(study, Run(SETTINGS["tsn"], 0.01, 3, trial=True)).split()
    assert {"--warmup_steps=81", "--clip_norm=5", "--epochs=3", "--drop_epochs=2"} <= {*trial}


def test_draws(study, commands):
    """As docs/relations_protocol.md says."""
    run = Run(SETTINGS["tsn"], 0.01, 0)
    train_all(study, [run], "validation", lambda *_: None)
    drawn = {
        line["output"].split("/")[-2]: (line["seed"], line["videos_per_class"], line["scenes"])
        for line in commands.flags_of("tfrecords_tools.demo")
    }
    assert drawn == {
        "trunk": ("11", "500", "relations"),
        "distractors_2": ("10", "600", "relations"),
        "validation": ("12", "125", "relations"),
    }
    assert WHOLE.videos * 72 // 100 * WHOLE.epochs // 16 == 4320


@pytest.mark.parametrize("scenes", SCENES)
def test_videos_of_other_scenes(study, commands, scenes):
    """Each set has about as many videos: fewer classes have more of each."""
    study = dataclasses.replace(study, scenes=scenes)
    train_all(study, [Run(SETTINGS["tsn"], 0.01, 0)], "test", lambda *_: None)
    drawn = commands.flags_of("tfrecords_tools.demo")
    assert {line["scenes"] for line in drawn} == {scenes}
    classes = {"relations": 20, "matching": 8, "relations,matching": 28}[scenes]
    assert [int(line["videos_per_class"]) for line in drawn] == [
        10_000 // classes,
        12_000 // classes,
    ]


def test_scenes():
    assert tuple(PAIRS) == SCENES
    values = flags.FlagValues()
    define_flags(values)
    values(["relations"])
    assert (values.scenes, len(PAIRS[values.scenes])) == ("relations,matching", 14)
    # The report lists the groups of all scenes.
    assert {pair.group for pairs in PAIRS.values() for pair in pairs} == {*GROUPS}


def test_a_recorded_command_has_no_path_of_the_machine(study, commands):
    run, records = Run(SETTINGS["tsn"], 0.01, 0), []
    for _ in range(2):  # The second time, it is done.
        train_all(study, [run], "test", lambda run, record: records.append(record))
    assert records[0] == records[1]
    assert records[0]["command"] == command_of(study, run)
    assert str(study.work) not in records[0]["command"]
    (line,) = [it for it in commands.flags_of("rlstm_tf.train") if "init_from" in it]
    assert line["init_from"] == f"{study.work}/runs/trunk_0"
    (run.directory(study.work) / RECORD).write_text(json.dumps({"command": "another"}))
    with pytest.raises(DataError, match=r"tsn_0.01_0 was made by another: delete it"):
        train_all(study, [run], "test", lambda *_: None)

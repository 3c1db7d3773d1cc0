"""The J-HMDB benchmark: what is trained, on what, in which order, and only once."""

import csv
import dataclasses
import re
import shutil
from collections import Counter
from concurrent.futures import Future
from itertools import product

import pandas as pd
import pytest
from benchmark_runs import FakeCommands
from command_lines import execute
from jhmdb_lists import link_clips, write_lists
from repository import ROOT

from benchmarks import jhmdb, trainings
from benchmarks.jhmdb_runs import (
    CONFIG,
    HELD_OUT,
    NETWORKS,
    QUICK,
    TRIALS,
    WHOLE,
    Run,
    Study,
    Trial,
    command_of,
)
from benchmarks.jhmdb_tables import Results
from rlstm_tf.cli import app, flags
from rlstm_tf.errors import DataError
from rlstm_tf.model_config import ModelConfig
from tfrecords_tools.datasets.hmdb51 import read_class_lists
from tfrecords_tools.datasets.jhmdb import read_jhmdb

SLOW, GOOD, WILD = Trial(0.002), Trial(0.01), Trial(0.05)


def right(output, run_dir):
    """GOOD is best on the held-out clips; SLOW would be by the test list."""
    if run_dir is None:
        return 15
    rate = run_dir.name.split("_")[-2]
    by_rate = {"val": {"0.002": 8, "0.01": 9, "0.05": 9}, "test": {"0.002": 20, "0.01": 10}}
    return by_rate[output.name][rate]


@pytest.fixture
def commands(monkeypatch):
    return FakeCommands.install(right, monkeypatch)


@pytest.fixture
def study(tmp_path):
    size = WHOLE._replace(trials=(SLOW, GOOD, WILD))
    lists = write_lists(tmp_path / "lists")
    (tmp_path / "clips").mkdir()
    clips = str(tmp_path / "clips")
    return Study(clips, str(lists), tmp_path / "work", size, workers=1, machine="two cores")


@pytest.fixture
def results(study, tmp_path):
    return Results(tmp_path / "out.csv", study)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run_all(study, results, networks=("tsn",), streams=("rgb",), splits=(1, 2, 3), seeds=(0,)):
    jhmdb.run_study(study, networks, streams, splits, seeds, results)


def test_settings_are_chosen_before_a_test_list_is_scored(study, results, commands, tmp_path):
    run_all(study, results, ("tsn", "two_branch"), seeds=(0, 1))
    scored = [(it["split"], it["run_dir"]) for it in commands.flags_of("rlstm_tf.evaluate")]
    assert [subset for subset, _ in scored] == ["val"] * 6 + ["test"] * 12
    # Each test list once for each network and seed, with what was best on the other clips.
    assert len({*scored}) == len(scored)
    assert all("_0.01_" in run_dir for subset, run_dir in scored if subset == "test")
    trials = rows_of(tmp_path / "out_search.csv")
    assert [row["validation_accuracy"] for row in trials[:3]] == ["0.4000", "0.4500", "0.4500"]
    rows = rows_of(tmp_path / "out.csv")
    assert [(row["split"], row["network"], row["seed"]) for row in rows[:3]] == [
        *(("1", "tsn", "0"), ("2", "tsn", "0"), ("3", "tsn", "0")),
    ]
    assert (rows[0]["accuracy"], rows[0]["learning_rate"]) == ("0.5000", "0.01")
    assert (rows[0]["machine"], rows[0]["stream"]) == ("two cores", "rgb")
    assert {"seconds", "cpu_seconds", "gigabytes", "command", "commit"} < {*rows[0]}


def test_shards(study, results, commands):
    """Built in turn; all but the first take the images of the first."""
    run_all(study, results, streams=("rgb", "dis"), splits=(1, 2))
    built = commands.flags_of("tfrecords_tools.build")
    names = [it["output"].split("/")[-1] for it in built]
    assert names == [
        *("rgb_search", "dis_search"),
        *("rgb_split1", "rgb_split2", "dis_split1", "dis_split2"),
    ]
    assert [it.get("val_share") for it in built] == [f"{HELD_OUT}"] * 2 + [None] * 4
    assert [it["split"] for it in built] == ["1", "1", "1", "2", "1", "2"]
    assert [it.get("flow") for it in built] == [None, "dis", None, None, "dis", "dis"]
    untested = str(study.work / "data/untested")
    assert [(it["dataset"], it["splits"]) for it in built] == [
        *[("hmdb51", untested)] * 2,
        *[("jhmdb", study.splits)] * 4,
    ]
    assert {it["videos"] for it in built} == {study.videos}
    assert not any("reuse" in it for it in built)
    (study.work / "data/rgb_split1").mkdir()
    (study.work / "data/rgb_split1/manifest.json").write_text("")
    run_all(study, results, ("local",))
    built = commands.flags_of("tfrecords_tools.build")[-4:]
    assert [it.get("reuse", "").split("/")[-1] for it in built] == ["", "", *["rgb_split1"] * 2]


def test_settings_are_chosen_on_clips_that_no_split_tests(study, results, commands):
    """By the made-up lists, split 2 trains on the fewest, the first 658."""
    run_all(study, results)
    chosen = read_class_lists("hmdb51", study.videos, str(study.work / "data/untested"), 1)
    assert {video.subset for video in chosen.videos} == {"train"}
    tested = {
        video.id
        for split in (1, 2, 3)
        for video in read_jhmdb(study.videos, study.splits, split).videos
        if video.subset == "test"
    }
    assert not tested & {video.id for video in chosen.videos}
    assert (len(chosen.videos), len(tested)) == (658, 270)


def test_tvl1_has_the_settings_of_dis(study, results, commands, tmp_path):
    run_all(study, results, streams=("rgb", "tvl1_half"), splits=(2, 3))
    trials = rows_of(tmp_path / "out_search.csv")
    assert Counter(row["stream"] for row in trials) == {"rgb": 3, "dis": 3}
    rows = rows_of(tmp_path / "out.csv")
    streams = ("rgb", "tvl1_half", "rgb+tvl1_half")
    assert [(row["stream"], row["split"]) for row in rows] == [*product(streams, "23")]
    assert rows[2]["learning_rate"] == "0.01"
    # Equal scores: equal weights.
    assert rows[4]["command"] == "rlstm_tf.fuse --weights=0.5,0.5"
    assert (rows[4]["accuracy"], rows[4]["learning_rate"]) == ("0.7500", "")
    fused = commands.flags_of("rlstm_tf.fuse")[0]
    runs = [place.split("/")[-3] for place in fused["scores"].split(",")]
    assert runs[0].startswith("tsn_rgb_split2_")
    assert runs[1].startswith("tsn_tvl1_half_split2_")


def test_what_has_a_row_is_done(study, results, commands):
    everything = (("tsn",), ("rgb", "dis"), (1, 2), (0,))
    run_all(study, results, *everything)
    shutil.rmtree(study.work)
    before = len(commands.lines)
    run_all(study, results, *everything)
    assert len(commands.lines) == before
    assert not study.work.exists()


def test_stopped_in_the_middle(study, results, commands):
    """What is scored is not scored again, and the rest follows."""
    commands.epochs_left = 1
    with pytest.raises(DataError, match=r"seed0 was stopped after epoch 7: the same command re"):
        run_all(study, results)
    assert not commands.flags_of("rlstm_tf.evaluate")
    commands.epochs_left = 0
    run_all(study, results)
    assert len(commands.flags_of("rlstm_tf.evaluate")) == 6


def test_diverged_trainings(study, results, commands, tmp_path):
    commands.diverging = ("0.01", "0.05")
    run_all(study, results, streams=("rgb", "dis"), splits=(1,))
    assert {row["learning_rate"] for row in rows_of(tmp_path / "out.csv")} == {"0.002", ""}
    commands.diverging = ("0.002", "0.01", "0.05")
    with pytest.raises(DataError, match="local diverged with all settings, rgb"):
        run_all(study, results, ("local",))
    # With another seed: an empty row, and nothing to fuse.
    commands.diverging = ("0.002",)
    run_all(study, results, streams=("rgb", "dis"), splits=(1,), seeds=(1,))
    rows = [row for row in rows_of(tmp_path / "out.csv") if row["seed"] == "1"]
    assert [(row["stream"], row["accuracy"]) for row in rows] == [("rgb", ""), ("dis", "")]


def test_rows_of_others_are_refused(study, results, commands, tmp_path):
    run_all(study, results)
    with pytest.raises(DataError, match=r"out.csv has a row of rlstm_tf.train .*another --output"):
        Results(tmp_path / "out.csv", dataclasses.replace(study, size=QUICK))
    text = (tmp_path / "out.csv").read_text()
    (tmp_path / "out.csv").write_text(text.replace("--model=tsn", "--model=local"))
    with pytest.raises(DataError, match=r"out.csv has a row of .*=local .*give another --output"):
        run_all(study, results)
    pd.DataFrame(rows_of(tmp_path / "out.csv")).assign(command="").to_csv(
        tmp_path / "out.csv", index=False
    )
    with pytest.raises(DataError, match=r"out.csv has a row of : give another --output"):
        Results(tmp_path / "out.csv", study)


def test_the_same_for_every_network(study):
    for stream, search in (("rgb", True), ("rgb", False), ("dis", False)):
        texts = {
            command_of(study, Run(name, stream, 1, 2, GOOD, search)).replace(" ".join(given), "")
            for name, given in NETWORKS.items()
        }
        assert len(texts) == 1
    assert "--stream=temporal" in texts.pop()
    assert len(TRIALS) == 4


@pytest.mark.parametrize("name", NETWORKS)
def test_flags_are_those_of_a_training(study, name):
    for size in (WHOLE, QUICK):
        run = Run(name, "dis", 1, 0, GOOD)
        values = flags.parse_flagfiles(CONFIG)
        values(command_of(dataclasses.replace(study, size=size), run).split())
        assert ModelConfig.from_flags(values).model == NETWORKS[name][0].removeprefix("--model=")
        assert (values.epochs, values.dropout, values.val_subset) == (size.epochs, 0.5, "none")


def test_the_protocol_has_these_settings():
    page = (ROOT / "docs/jhmdb_protocol.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `--(\w+)` \| (.*) \|$", page))
    for place, name in enumerate(Trial._fields):
        values = dict.fromkeys(f"{trial[place]:g}" for trial in TRIALS)
        assert rows[name] == ", ".join(values)
    assert rows["epochs"] == str(WHOLE.epochs)
    assert rows["val_share"] == f"{HELD_OUT:g}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=two_branch,three"], "--only=three: unknown, known: tsn, local"),
        (["--streams=flow"], "--streams=flow: unknown, known: rgb, dis, tvl1_half"),
        (["--split=4"], "--split=4: unknown, known: 1, 2, 3"),
        (["--seeds="], "--seeds is empty: give at least one"),
        (["--output=."], "--output=. is a directory: give a file, NAME.csv"),
        (["--videos="], "--videos must be given"),
    ],
)
def test_invalid_flags(capsys, arguments, message):
    given = ["jhmdb", "--videos=clips", "--splits=lists", *arguments]
    assert app.run(jhmdb.main, jhmdb.define_flags, given) == 2
    assert message in capsys.readouterr().err


def test_portions(tmp_path, commands, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(jhmdb, "run_study", lambda study, *given: calls.append((study, *given)))
    given = ["jhmdb", "--videos=clips", "--splits=lists", f"--work={tmp_path}/work"]
    more = ["--quick", "--only=two_branch,tsn", "--streams=dis", "--split=3,1", "--seeds=4,4"]
    assert app.run(jhmdb.main, jhmdb.define_flags, [*given, *more]) == 0
    study, *portion, _ = calls[0]
    assert portion == [("tsn", "two_branch"), ("dis",), (1, 3), (4,)]
    assert (study.size, study.work) == (QUICK, tmp_path / "work_quick")
    assert capsys.readouterr().out.startswith("jhmdb: TensorFlow")


class MainThread(trainings.Cores):
    """Runs everything at once, in the thread that may handle signals."""

    def submit(self, work, *arguments):
        done = Future()
        done.set_result(work(*arguments, None))
        return done


def test_quick_on_genuine_clips(real, tmp_path, monkeypatch, capsys):
    """Every command is run, in this process."""

    def run(log, module, *given, core=None, used=None):
        execute([[module, *given]])

    monkeypatch.setattr(trainings, "run_command", run)
    monkeypatch.setattr(trainings, "Cores", MainThread)
    videos = link_clips(real, tmp_path / "videos", 18, classes=("clap", "golf", "pullup"))
    given = ["jhmdb", f"--videos={videos}", f"--splits={real}/jhmdb/splits", "--quick"]
    given += ["--only=tsn", "--streams=dis", "--split=1", "--seeds=0"]
    assert app.run(jhmdb.main, jhmdb.define_flags, [*given, f"--work={tmp_path}/work"]) == 0
    rows = rows_of(tmp_path / "work_quick/jhmdb.csv")
    assert [row["stream"] for row in rows] == ["dis"]
    assert 0 <= float(rows[0]["accuracy"]) <= 1
    (trial,) = rows_of(tmp_path / "work_quick/jhmdb_search.csv")
    assert 0 <= float(trial["validation_accuracy"]) <= 1
    assert "| tsn | dis | 1 |" in capsys.readouterr().out

"""The recipe: every run of the tables once, in a valid order, with files that exist."""

import dataclasses
import re
import shlex

import pytest
from repository import ROOT

from rlstm_tf import evaluate, fuse, recipe, train
from rlstm_tf.cli import app, flags, input_flags
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.reporting import paper_runs
from rlstm_tf.reporting.paper_runs import DEMO, PAPER, Run
from tfrecords_tools import build

PROGRAMS = {
    "tfrecords_tools.build": build,
    "rlstm_tf.train": train,
    "rlstm_tf.evaluate": evaluate,
    "rlstm_tf.fuse": fuse,
}


def script(capsys, *arguments):
    assert app.run(recipe.main, recipe.define_flags, ["recipe", *arguments]) == 0
    return capsys.readouterr().out


def commands(text):
    """Splits a script into module and arguments of each command."""
    joined = text.replace("\\\n", " ")
    first, *lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    assert first == "set -e"
    # A test that is there already is not done again.
    found = [shlex.split(line.split(" || ")[-1]) for line in lines]
    assert all(words[:2] == ["python", "-m"] for words in found)
    return [(words[2], words[3:]) for words in found]


def test_the_runs_are_those_of_the_tables():
    runs = list(paper_runs.runs())
    assert len(runs) == len(set(runs)) == 42
    by_data = {}
    for run in runs:
        by_data.setdefault((run.dataset, run.split), []).append((run.name, run.stream))
    assert {place: len(names) for place, names in by_data.items()} == {
        ("ucf101", 1): 22,
        ("ucf101", 2): 6,
        ("ucf101", 3): 6,
        ("hmdb51", 1): 2,
        ("hmdb51", 2): 2,
        ("hmdb51", 3): 2,
        ("charades", 0): 2,
    }
    for run in runs:
        if run.starts_from:
            assert runs.index(run.starts_from) < runs.index(run)
    temporal = Run("ucf101", 1, "rlstm", "temporal")
    assert temporal.starts_from == Run("ucf101", 1, "tsn", "temporal")
    assert Run("ucf101", 1, "rlstm", "spatial").starts_from is None


def test_steps_and_hours():
    run = Run("ucf101", 1, "two_branch", "temporal")
    # 9,537 videos are 397 batches of 24; 60 epochs.
    assert run.steps == 60 * 397
    training, testing = run.hours(0.5)
    assert training == pytest.approx(60 * 397 * 24 * 0.5 / 3600)
    assert testing == pytest.approx(3783 * 20 * 0.5 / 3 / 3600)
    assert Run("charades", 0, "tsn", "spatial").hours(3.0)[1] == pytest.approx(1863 * 10 / 3600)


@pytest.mark.parametrize("demo", [False, True])
def test_every_command_parses_and_names_existing_files(capsys, monkeypatch, demo):
    monkeypatch.chdir(ROOT)
    found = commands(script(capsys, *(["--demo"] if demo else [])))
    made = set()
    for module, arguments in found:
        if module not in PROGRAMS:
            assert module in ("tfrecords_tools.demo", "rlstm_tf.report")
            continue
        values = flags.flags.FlagValues()
        flags.flags.DEFINE_string("flagfile", "", "", flag_values=values)
        PROGRAMS[module].define_flags(values)
        assert values([module, *arguments]) == [module]
        if module == "rlstm_tf.train":
            assert values.data in made
            assert values.init_from is None or values.init_from in made
            assert (values.stream == "temporal") == values.data.endswith("/temporal")
            input_flags.arguments(values)
            made.add(values.run_dir)
        elif module == "rlstm_tf.evaluate":
            assert values.run_dir in made
            made.add(values.run_dir + "/evaluation/test")
        elif module == "rlstm_tf.fuse":
            assert set(values.scores) <= made
            made.add(values.output)
        else:
            made.add(values.output)
    counts = [sum(name == module for name, _ in found) for module in PROGRAMS]
    assert counts == [13, 42, 42, 20 + 3]


def test_paths_with_spaces_can_be_pasted():
    paths = dataclasses.replace(PAPER, data="my data", runs="my runs")
    run = Run("hmdb51", 1, "two_branch", "spatial")
    training, testing = paper_runs.run_commands(paths, run)
    assert shlex.split(training.replace("\\\n", " "))[4:6] == [
        "--data=my data/hmdb51_1/spatial",
        "--run_dir=my runs/hmdb51_1/two_branch/spatial",
    ]
    scores = "my runs/hmdb51_1/two_branch/spatial/evaluation/test/metrics.json"
    assert shlex.split(testing)[:4] == ["test", "-f", scores, "||"]


def test_the_table_of_steps_covers_every_run(capsys):
    makefile = (ROOT / "Makefile").read_text()
    steps = re.search(r"^STEPS = (\S+)$", makefile, re.MULTILINE)[1]
    assert script(capsys, f"--steps={ROOT / steps}").count("steps: about") == 42


def test_flags_of_some_runs(monkeypatch):
    monkeypatch.chdir(ROOT)

    def of(run, paths=PAPER):
        text = next(iter(paper_runs.run_commands(paths, run)))
        return flags.parse_flagfiles(*re.findall(r"--flagfile=(\S+)", text))

    main = of(Run("ucf101", 1, "two_branch", "spatial"))
    assert (main.model, main.num_segments, main.cut) == ("two_branch", 8, "conv5_block2_out")
    assert (main.dropout, main.epochs, main.drop_epochs) == (0.8, 50, ["35", "45"])
    assert (main.learning_rate, main.batch_size, main.batch_norm) == (5e-4, 24, "population")
    flow = of(Run("hmdb51", 2, "two_branch", "temporal"))
    assert (flow.dropout, flow.epochs, flow.drop_epochs) == (0.7, 60, ["45", "55"])
    assert ModelConfig.from_flags(flow).channels == 20
    assert of(Run("ucf101", 1, "segments_12", "temporal")).num_segments == 12
    assert of(Run("ucf101", 1, "after_conv5_3", "spatial")).cut == "conv5_block3_out"
    assert of(Run("charades", 0, "tsn", "spatial")).model == "tsn"
    small = of(Run("ucf101", 1, "tsn", "temporal"), DEMO)
    assert (small.model, small.backbone) == ("tsn", "tiny_resnetv2")
    assert ModelConfig.from_flags(small).channels == 8


def test_estimates_come_from_the_given_table(capsys, tmp_path):
    table = tmp_path / "steps.csv"
    table.write_text(
        "run,stream,batch_size,seconds_per_video,gigabytes\ntwo_branch,spatial,2,0.36,6.25\n"
    )
    text = script(capsys, f"--steps={table}")
    # 19,850 steps of 24 videos at 0.36 s: 47.64 h; 3,783 x 20 views at 0.12 s: 2.5 h.
    assert "# 19850 steps: about 48 h, test 2.5 h, 6.2 GB for batches of 2" in text
    assert text.count("steps: about") == 7
    assert "steps: about" not in script(capsys)
    status = app.run(recipe.main, recipe.define_flags, ["recipe", f"--steps={tmp_path / 'no'}"])
    assert status == 1
    table.write_text("run,stream\nx,y\n")
    assert app.run(recipe.main, recipe.define_flags, ["recipe", f"--steps={table}"]) == 1
    assert "is not a table of benchmarks.steps" in capsys.readouterr().err

"""Ideas on the clips that no split of J-HMDB tests: what is trained, only once, and the table."""

import pandas as pd
import pytest
from benchmark_runs import FakeCommands
from command_lines import execute
from jhmdb_lists import write_lists

from benchmarks.jhmdb_ideas import CONFIG, IDEAS, REFERENCES, flags_of, to_markdown
from rlstm_tf.cli import flags
from rlstm_tf.model_config import ModelConfig


@pytest.fixture
def commands(monkeypatch):
    return FakeCommands.install(lambda output, run_dir: 14, monkeypatch)


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "clips").mkdir()
    return write_lists(tmp_path / "lists")


def parse(idea):
    values = flags.parse_flagfiles(CONFIG)
    values(["train", *flags_of(idea)])
    return values


@pytest.mark.parametrize("idea", [*REFERENCES, *IDEAS])
def test_each_idea_is_a_training(idea):
    values = parse(idea)
    config = ModelConfig.from_flags(values)
    assert config.model == (idea if idea in REFERENCES else "two_branch")
    assert (values.seed, values.val_subset, values.freeze) == (0, "none", "trunk")


def test_each_idea_differs_from_two_branch():
    settings = [parse(idea).flag_values_dict() for idea in ("two_branch", *IDEAS)]
    assert all(one not in settings[:place] for place, one in enumerate(settings))


def call(tmp_path, lists, *line):
    given = [f"--videos={tmp_path / 'clips'}", f"--splits={lists}", f"--work={tmp_path / 'work'}"]
    execute([["benchmarks.jhmdb_ideas", *given, f"--output={tmp_path / 'out.csv'}", *line]])


def test_what_has_a_row_is_not_trained_again(tmp_path, lists, commands):
    call(tmp_path, lists, "--only=two_branch,ema", "--draws=1")
    call(tmp_path, lists, "--only=two_branch,ema", "--draws=1,2")
    trained = [it["run_dir"].split("/")[-1] for it in commands.flags_of("rlstm_tf.train")]
    assert trained == [f"{idea}_draw{draw}" for draw in (1, 2) for idea in ("two_branch", "ema")]
    built = commands.flags_of("tfrecords_tools.build")
    assert [(it["val_seed"], it["val_share"]) for it in built] == [("1", "0.3"), ("2", "0.3")]
    assert {it["split"] for it in commands.flags_of("rlstm_tf.evaluate")} == {"val"}
    rows = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert rows["right"].tolist() == ["14"] * 4


def test_table():
    found = {("two_branch", 1): 40, ("two_branch", 2): 50, ("ema", 1): 44, ("ema", 2): 52}
    rows = pd.DataFrame(
        [(idea, str(draw), str(right), "100", "7") for (idea, draw), right in found.items()],
        columns=["idea", "draw", "right", "clips", "cpu_seconds"],
    )
    lines = to_markdown(rows).splitlines()
    assert lines[2] == "| two_branch | 40.0 | 50.0 | 45.0 |  | 7 |"
    # 4 and 2 points more: 3 in the mean, and a deviation of sqrt(2).
    assert lines[3] == "| ema | 44.0 | 52.0 | 48.0 | +3.0 ± 1.4 | 7 |"

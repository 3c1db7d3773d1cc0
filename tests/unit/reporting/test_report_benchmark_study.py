"""The report on the relational study: groups of other scenes, facts of networks, the winner."""

import numpy as np
import pytest
from benchmark_rows import HEAD, row, write
from reports import refused, run
from repository import ROOT

from rlstm_tf.reporting.benchmark import read_benchmark, tables

STUDY_HEAD = [name for name in HEAD if name not in tables.GROUPS]
STUDY_HEAD += ["matching", "learning_rate", "parameters", "multiply_adds"]


def study_row(setting, seed, matching, table="models", rate="0.02"):
    facts = {"learning_rate": rate, "parameters": "87112", "multiply_adds": "51390624"}
    return {**row(setting, seed, table, matching=matching), **facts}


def test_other_scenes_and_facts_of_networks(tmp_path):
    """A file has the groups of its scenes. Where a winner is, it is compared with the others."""
    ours, theirs, without = (0.9, 0.94), (0.6, 0.62), (0.7, 0.72)
    rows = [study_row("two_branch", seed, 0.5) for seed in range(2)]
    rows += [study_row("convlstm", seed, m) for seed, m in enumerate(theirs)]
    rows += [study_row("winner", seed, m) for seed, m in enumerate(ours)]
    name = "without_local_term"
    rows += [study_row(name, seed, m, "options") for seed, m in enumerate(without)]
    path = write(tmp_path / "r.csv", rows, STUDY_HEAD)
    benchmark = read_benchmark(str(path))
    assert benchmark.groups == ("matching",)
    main, options = tables.tables_of(benchmark)
    cells = tables.group_cells(main, benchmark)
    facts = ["learning rate", "parameters", "multiply-adds"]
    assert cells[0] == ["setting", "matching", "all 4 classes", "seeds", *facts]
    first = ["two-branch, winning options", "92.0 \u00b1 2.8", "50.0 \u00b1 0.0", "2"]
    assert cells[1] == [*first, "0.02", "87112", "51390624"]
    assert [line[0] for line in cells[2:]] == ["two-branch", "ConvLSTM"]
    references = ["two-branch, winning options (main table)", "two-branch (main table)"]
    assert [*options.labels.values()] == [*references, "without_local_term"]
    found = {(lead.group, lead.ahead_of): lead for lead in tables.leads(main)}
    assert {lead.reference for lead in found.values()} == {"winner"}
    pooled = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 2)
    lead = found["matching", "convlstm"]
    assert lead.points == pytest.approx(31)
    assert lead.standard_deviations == pytest.approx(0.31 / pooled)
    assert ("matching", "two_branch") in found
    assert run(f"--benchmark={path}", f"--output={tmp_path / 'out'}") == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    sentence = "<li>matching: two-branch, winning options is ahead of the ConvLSTM by 31.0 points"
    assert sentence in page
    assert "<li>motion:" not in page


def test_rates_that_differ_between_seeds(tmp_path):
    rows = [study_row("tsn", 0, 0.5), study_row("tsn", 1, 0.5, rate="0.01")]
    benchmark = read_benchmark(str(write(tmp_path / "r.csv", rows, STUDY_HEAD)))
    (table,) = tables.tables_of(benchmark)
    assert tables.group_cells(table, benchmark)[1][-3:] == ["0.02/0.01", "87112", "51390624"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("matching", "2", "matching must be from 0 to 1, found '2'"),
        ("parameters", "many", "parameters must be an integer, found 'many'"),
        ("learning_rate", "fast", "learning_rate must be a number, found 'fast'"),
    ],
)
def test_invalid_facts(tmp_path, capsys, column, value, message):
    cells = {**study_row("tsn", 0, 0.5), column: value}
    path = write(tmp_path / "r.csv", [cells], STUDY_HEAD)
    message = f"line 2: {message}"
    refused(1, message, capsys, f"--benchmark={path}", f"--output={tmp_path / 'out'}")


def test_the_results_of_this_repository_are_read():
    assert tables.tables_of(read_benchmark(str(ROOT / "benchmarks/results/relations.csv")))

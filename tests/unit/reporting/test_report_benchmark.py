"""The report on the relational benchmark: numbers against NumPy, errors, files."""

import csv
import io

import numpy as np
import pytest
from benchmark_rows import CURVES, HEAD, row, three_networks, write
from benchmark_runs import make_run, make_study
from reports import contents, refused, run

from benchmarks.relational_runs import Run
from benchmarks.relational_tables import Results
from benchmarks.settings import MAIN
from rlstm_tf.reporting.benchmark import read_benchmark, tables
from tfrecords_tools.synthetic.relations import PAIRS

CURVE_ROWS = [
    # setting, seed, epoch, loss, accuracy, val_accuracy
    *(("two_branch", seed, epoch, 1, 0.5, 0.1 * epoch + 0.02 * seed)
      for seed in range(3) for epoch in (1, 2, 3)),
    ("tsn", 0, 1, 1, 0.5, 0.05),
    ("tsn", 0, 2, 1, 0.5, ""),
]  # fmt: skip


def make(path, output, *arguments):
    assert run(f"--benchmark={path}", f"--output={output}", *arguments) == 0
    return (output / "index.html").read_text(encoding="utf-8")


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmark")
    path = three_networks(root / "relations.csv")
    write(root / "relations_curves.csv", CURVE_ROWS, CURVES)
    return root / "out", make(path, root / "out", "--title=Ours & <theirs>")


def test_files(finished):
    assert sorted(contents(finished[0])) == sorted(
        ["index.html", "tables/leads.csv", "tables/leads.md"]
        + [f"tables/{name}{kind}" for name in ("models", "segments") for kind in (".md", ".csv")]
        + [f"tables/{name}_pairs.md" for name in ("models", "segments")]
        + [f"figures/{name}.png" for name in ("models", "segments")]
        + [f"figures/{name}_curves.png" for name in ("models", "segments")]
    )


def test_the_main_table(finished):
    lines = (finished[0] / "tables" / "models.md").read_text(encoding="utf-8").splitlines()
    motion, every = [90, 95, 97], [30, 40, 41]
    assert lines[:5] == [
        "**Networks**",
        "",
        "| setting | appearance | motion | space | time | ends | all 4 classes | seeds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        # The reference is first in any order of the file.
        f"| two-branch | 50.0 ± 0.0 | {np.mean(motion):.1f} ± {np.std(motion, ddof=1):.1f} "
        "| 50.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 "
        f"| {np.mean(every):.1f} ± {np.std(every, ddof=1):.1f} | 3 |",
    ]
    assert lines[5].startswith("| TSN | 50.0 ± 0.0 | 51.0 ± 3.6 |")
    # A single seed has no deviation; an empty cell stays empty.
    assert lines[6] == "| local branch only | 50.0 | 93.0 | 50.0 | 60.0 |  | 50.0 | 1 |"
    assert "which of the 4, 25 by chance" in lines[8]
    assert len(lines) == 9


def test_pairs_show_the_number_of_seeds(finished):
    text = (finished[0] / "tables" / "models_pairs.md").read_text(encoding="utf-8")
    assert "| pair | two-branch | TSN | local branch only |" in text
    deviation = np.std([80, 90], ddof=1)
    assert f"| Approach/Recede | 85.0 ± {deviation:.1f} (n = 2) | 50.0 ± 0.0 | 50.0 |" in text


def test_csv_of_a_table(finished):
    found = {
        (line["setting"], line["column"]): line
        for line in rows_of(finished[0] / "tables" / "models.csv")
    }
    assert len(found) == 3 * 8 - 1
    motion = found["two_branch", "motion"]
    assert float(motion["mean"]) == pytest.approx(np.mean([90, 95, 97]), abs=1e-4)
    assert float(motion["standard_deviation"]) == pytest.approx(
        np.std([90, 95, 97], ddof=1), abs=1e-4
    )
    assert motion["seeds"] == "3"
    assert found["two_branch", "Approach/Recede"]["seeds"] == "2"
    assert found["local", "motion"]["standard_deviation"] == ""
    assert ("local", "ends") not in found


def test_the_reference_is_in_every_table(finished):
    text = (finished[0] / "tables" / "segments.md").read_text(encoding="utf-8")
    assert "**Number of segments**" in text
    assert [line.split(" | ")[0] for line in text.splitlines()[4:6]] == [
        "| two-branch (main table)",
        "| segments=4",
    ]


def test_how_far_two_branch_is_ahead(finished):
    """The deviation is pooled; the local branch has one seed and so none."""
    ours, tsn = [90, 95, 97], [48, 50, 55]
    pooled = np.sqrt((np.var(ours, ddof=1) * 2 + np.var(tsn, ddof=1) * 2) / 4)
    points = np.mean(ours) - np.mean(tsn)
    found = {
        (line["group"], line["ahead_of"]): line
        for line in rows_of(finished[0] / "tables" / "leads.csv")
    }
    # The local branch has no number for `ends`.
    assert len(found) == 11
    assert {line["reference"] for line in found.values()} == {"two_branch"}
    everything = float(found["accuracy", "tsn"]["points"])
    assert everything == pytest.approx(np.mean([30, 40, 41]) - 50, abs=1e-4)
    motion = found["motion", "tsn"]
    assert float(motion["points"]) == pytest.approx(points, abs=1e-4)
    assert float(motion["standard_deviations"]) == pytest.approx(points / pooled, abs=1e-4)
    over_local = (np.mean(ours) - 93) / np.std(ours, ddof=1)
    assert float(found["motion", "local"]["standard_deviations"]) == pytest.approx(
        over_local, abs=1e-4
    )
    lines = (finished[0] / "tables" / "leads.md").read_text(encoding="utf-8").splitlines()
    assert lines[2:] == [
        "- appearance: two-branch is level with TSN; level with the local branch.",
        f"- motion: two-branch is ahead of TSN by {points:.1f} points, "
        f"{points / pooled:.1f} standard deviations; ahead of the local branch by 1.0 points, "
        f"{over_local:.1f} standard deviations.",
        "- space: two-branch is level with TSN; level with the local branch.",
        # Three seeds without any deviation, and one seed.
        "- time: two-branch is level with TSN; behind the local branch by 10.0 points "
        "(no deviation between seeds).",
        "- ends: two-branch is level with TSN.",
        "- all classes: two-branch is behind TSN by 13.0 points, 3.0 standard deviations; behind "
        "the local branch by 13.0 points, 2.1 standard deviations.",
    ]


def test_pooled_deviation_weights_by_degrees_of_freedom(tmp_path):
    ours, tsn = (0.1, 0.12, 0.08, 0.1), (0.14, 0.1)
    rows = [row("two_branch", seed, motion=share) for seed, share in enumerate(ours)]
    rows += [row("tsn", seed, motion=share) for seed, share in enumerate(tsn)]
    (table,) = tables.tables_of(read_benchmark(str(write(tmp_path / "r.csv", rows))))
    (lead,) = (lead for lead in tables.leads(table) if lead.group == "motion")
    pooled = np.sqrt((3 * np.var(ours, ddof=1) + np.var(tsn, ddof=1)) / 4)
    assert (lead.ahead_of, lead.points) == ("tsn", pytest.approx(-2))
    assert lead.standard_deviations == pytest.approx(-0.02 / pooled)


def test_equal_numbers_have_no_deviation(tmp_path):
    """Even if the mean of three is off in its last bit."""
    rows = [row(name, seed, motion=0.29) for name in ("two_branch", "tsn") for seed in range(3)]
    (table,) = tables.tables_of(read_benchmark(str(write(tmp_path / "r.csv", rows))))
    assert table.deviation.at["tsn", "motion"] == 0
    assert all(np.isnan(lead.standard_deviations) for lead in tables.leads(table))


def test_the_page(finished):
    page = finished[1]
    assert "Ours &amp; &lt;theirs&gt;" in page
    assert "8 trained networks" in page
    assert page.count("data:image/png;base64,") == 4
    assert "two-branch ends at 32.0; TSN ends at 5.0." in page
    assert "two-branch: appearance 50.0, motion 94.0, " in page
    assert "<code>train segments=4</code>" in page
    assert "<li>ends: two-branch is level with TSN</li>" in page


def test_cells_are_escaped(tmp_path):
    rows = [row("a|<b>", command="<script>alert(1)</script>", machine="$x$ & y")]
    page = make(write(tmp_path / "r.csv", rows), tmp_path / "out")
    assert "<script>" not in page
    assert "a|&lt;b&gt;" in page
    assert "| a\\|<b> | 50.0 |" in (tmp_path / "out" / "tables" / "models.md").read_text()


def test_an_incomplete_benchmark(tmp_path):
    """Without the networks to compare with, pairs and curves."""
    head = [name for name in HEAD if "/" not in name]
    rows = [row("x=1", table="own"), row("x=2", table="own", motion="")]
    page = make(write(tmp_path / "r.csv", rows, head), tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == [
        "figures/own.png",
        "index.html",
        "tables/own.csv",
        "tables/own.md",
    ]
    assert "all classes" in page
    assert "by chance. Mean" in page


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("motion", "fast", "motion must be from 0 to 1, found 'fast'"),
        ("motion", "1.01", "motion must be from 0 to 1, found '1.01'"),
        ("Approach/Recede", "nan", "Approach/Recede must be from 0 to 1, found 'nan'"),
        ("accuracy", "-0.1", "accuracy must be from 0 to 1, found '-0.1'"),
        ("seed", "1.5", "seed must be an integer, found '1.5'"),
        ("seed", "", "seed must be an integer, found ''"),
        ("table", "../x", "table must be a name of letters, digits, _ and -, found '../x'"),
        ("setting", "", "setting must be a name, found ''"),
        ("setting", "two_branch", "two_branch, 0 is there a second time"),
    ],
)
def test_invalid_cells(tmp_path, capsys, column, value, message):
    path = write(tmp_path / "r.csv", [row("two_branch"), {**row("tsn"), column: value}])
    message = f"line 3: {message}"
    refused(1, message, capsys, f"--benchmark={path}", f"--output={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("column", ["setting", "table", "seed", "accuracy", "commit"])
def test_missing_columns(tmp_path, capsys, column):
    path = write(tmp_path / "r.csv", [row("tsn")], [name for name in HEAD if name != column])
    message = f"0 columns are called {column!r}, not one"
    refused(1, message, capsys, f"--benchmark={path}", f"--output={tmp_path / 'out'}")


def test_invalid_files(tmp_path, capsys):
    path, output = tmp_path / "r.csv", f"--output={tmp_path / 'out'}"
    refused(1, "No such file", capsys, f"--benchmark={path}", output)
    write(path, [])
    refused(1, "r.csv has no rows", capsys, f"--benchmark={path}", output)
    path.write_text("")
    refused(1, "r.csv is not a CSV file: No columns", capsys, f"--benchmark={path}", output)
    path.write_bytes(b"\xff\xfe\x00")
    refused(1, "is not a CSV file", capsys, f"--benchmark={path}", output)
    write(path, [["tsn", "models"]])
    refused(1, f"line 2: 2 cells, the head has {len(HEAD)}", capsys, f"--benchmark={path}", output)
    write(path, [row("tsn")], [*HEAD, "space"])
    refused(1, "2 columns are called 'space'", capsys, f"--benchmark={path}", output)
    write(path, [row("tsn")], [name for name in HEAD if name not in tables.GROUPS])
    refused(
        1, "r.csv: no column is called appearance, motion", capsys, f"--benchmark={path}", output
    )


def test_invalid_curves(tmp_path, capsys):
    arguments = (f"--benchmark={write(tmp_path / 'r.csv', [row('tsn')])}", f"--output={tmp_path}/o")
    curves = tmp_path / "r_curves.csv"
    write(curves, [("tsn", 0, "last", 1, 1, 0.5)], CURVES)
    refused(1, "r_curves.csv, line 2: epoch must be an integer, found 'last'", capsys, *arguments)
    write(curves, [("tsn", 0, 1, 1, 1, 50)], CURVES)
    refused(
        1, "r_curves.csv, line 2: val_accuracy must be from 0 to 1, found '50'", capsys, *arguments
    )
    write(curves, [("tsn", 0, 1, 1, 1, 0.5)] * 2, CURVES)
    refused(1, "line 3: tsn, 0, 1 is there a second time", capsys, *arguments)
    write(curves, [], CURVES)
    refused(1, "r_curves.csv has no rows", capsys, *arguments)


def test_contradicting_flags(tmp_path, capsys):
    output = f"--output={tmp_path / 'out'}"
    both = "either --runs or --benchmark must be given"
    refused(2, both, capsys, "--runs=x", "--benchmark=x.csv", output)
    refused(2, both, capsys, output)
    refused(2, "--output must be given", capsys, "--benchmark=x.csv")
    refused(2, "--videos is for a report on --runs", capsys, "--benchmark=x", "--videos=v", output)


def test_files_of_the_benchmark_are_read(tmp_path):
    """The networks have all videos right, or all wrong."""
    settings = [setting for setting in MAIN if setting.name in ("two_branch", "tsn")]
    study, path = make_study(tmp_path), tmp_path / "relations.csv"
    results = Results(path, study)
    for run_ in [Run(setting, 0.02, seed) for setting in settings for seed in (0, 1)]:
        right = 20 if run_.setting.name == "two_branch" else 0
        results.add(run_, make_run(study, run_, right))
    found = read_benchmark(str(path))
    assert found.groups == ("appearance", "motion", "space", "time", "ends")
    assert len(found.pairs) == len(PAIRS)
    curve = found.curves.query("setting == 'tsn'").pivot(index="seed", columns="epoch")
    assert curve["val_accuracy"].to_numpy() == pytest.approx(np.array([[20, 40], [20, 40]]))
    page = make(path, tmp_path / "out")
    assert "<li>ends: two-branch is ahead of TSN by " in page
    assert '<th scope="col">parameters</th>' in page


def test_order_of_the_tables(tmp_path):
    rows = [row("x=1", table="own"), row("segments=4", table="segments"), row("tsn")]
    found = tables.tables_of(read_benchmark(str(write(tmp_path / "r.csv", rows))))
    assert [(table.name, len(table.labels)) for table in found] == [
        ("models", 1),
        ("segments", 1),
        ("own", 1),
    ]

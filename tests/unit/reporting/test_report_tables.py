"""Results in the cells of the tables, and the tables as files."""

import csv

import evaluations
import pytest

from rlstm_tf import report
from rlstm_tf.cli import app
from rlstm_tf.errors import DataError
from rlstm_tf.reporting import assembly, selection
from rlstm_tf.reporting.results import read_results


def files_of(root):
    return assembly.assemble(read_results([str(root)]), [str(root)], "title")


def rows(files, name):
    return list(csv.reader(files[f"tables/{name}.csv"].decode().splitlines()))


def write(root, name, right=500, **changes):
    return evaluations.write_right(root / name, right, **changes)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    evaluations.write_everything(root)
    output = root / "report"
    arguments = ["report", f"--runs={root}", f"--output={output}"]
    assert app.run(report.main, report.define_flags, arguments) == 0
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file()
    }


def test_tables_of_the_first_split(everything):
    head = [
        *("UCF-101 split 1", "spatial, paper", "spatial, ours", "temporal, paper"),
        *("temporal, ours", "two-stream, paper", "two-stream, ours"),
    ]
    assert rows(everything, "table2") == [
        head,
        ["TSN", "87.0", "87.1", "88.5", "88.6", "93.8", "93.9"],
        ["R-LSTM", "86.9", "87.0", "87.5", "87.6", "93.8", "93.9"],
        ["TSN + R-LSTM", "88.6", "88.7", "89.1", "89.2", "94.2", "94.3"],
    ]
    # The two-stream two-branch and R-LSTM of split 1 are tables 6's too: 94.5 and 93.9.
    two_branch = ["88.7", "88.8", "88.1", "88.2", "94.4", "94.5"]
    assert rows(everything, "table3") == [
        head,
        ["T = 6", "87.2", "87.3", "87.9", "88.0", "94.2", "94.3"],
        ["T = 8", *two_branch],
        ["T = 10", "88.1", "88.2", "87.5", "87.6", "94.1", "94.2"],
        ["T = 12", "87.4", "87.5", "87.4", "87.5", "93.5", "93.6"],
    ]
    assert rows(everything, "table4") == [
        head,
        ["R-LSTM", "86.9", "87.0", "87.5", "87.6", "93.8", "93.9"],
        ["Local branch only", "87.4", "87.5", "87.3", "87.4", "94.0", "94.1"],
        ["Two-branch", *two_branch],
    ]
    assert rows(everything, "table5") == [
        head,
        ["After conv5_1", "87.5", "87.6", "87.7", "87.8", "94.0", "94.1"],
        ["After conv5_2", *two_branch],
        ["After conv5_3", "87.7", "87.8", "87.5", "87.6", "93.8", "93.9"],
    ]
    assert rows(everything, "recurrent_peers") == [
        ["UCF-101 split 1", "spatial", "temporal", "two-stream"],
        ["TSN", "87.1", "88.6", "93.9"],
        ["LSTM", "85.1", "85.2", "91.1"],
        ["ConvLSTM", "86.1", "86.2", "92.1"],
        ["Two-branch", "88.8", "88.2", "94.5"],
    ]


def test_tables_against_the_state_of_the_art(everything):
    # (94.5 + 94.8 + 95.4) / 3 = 94.9, (93.9 + 94.2 + 94.8) / 3 = 94.3.
    ours = [
        ["R-LSTM", "94.2", "94.3", "", "70.0"],
        ["Two-branch", "94.8", "94.9", "71.4", "71.5"],
    ]
    head = ["Method", "UCF-101, paper", "UCF-101, ours", "HMDB-51, paper", "HMDB-51, ours"]
    assert rows(everything, "table6") == [
        head,
        ["Two-Stream+LSTM", "88.6", "", "", ""],
        ["VideoLSTM", "89.2", "", "56.4", ""],
        ["HAN", "92.7", "", "64.3", ""],
        ["L2STM", "93.6", "", "66.2", ""],
        *ours,
    ]
    assert rows(everything, "table7") == [
        head,
        ["iDT", "86.4", "", "61.7", ""],
        ["Two-Stream", "88.0", "", "59.4", ""],
        ["KVMDF", "93.1", "", "63.3", ""],
        ["ST-ResNet", "93.4", "", "66.4", ""],
        ["Two-Stream I3D", "93.4", "", "66.4", ""],
        ["TSN", "94.0", "", "68.5", ""],
        ["ST-Multiplier", "94.2", "", "68.9", ""],
        ["ST-Pyramid", "94.6", "", "68.9", ""],
        ["MiCT", "94.7", "", "70.5", ""],
        ["CoViAR", "94.9", "", "70.2", ""],
        *ours,
    ]
    assert rows(everything, "table8") == [
        ["Method", "Charades, paper", "Charades, ours"],
        ["Two-Stream", "18.6", ""],
        ["Two-Stream+LSTM", "17.8", ""],
        ["CoViAR", "21.9", ""],
        ["Asyn-TF", "22.4", ""],
        ["MultiScale TRN", "25.2", ""],
        ["TSN", "25.6", "25.0"],
        ["Two-branch", "28.8", "29.2"],
    ]


def test_markdown(everything):
    assert everything["tables/table8.md"].decode() == (
        "**Table 8.** Against the state of the art: mean average precision, RGB.\n\n"
        "| Method | Charades, paper | Charades, ours |\n"
        "| --- | ---: | ---: |\n"
        "| Two-Stream | 18.6 |  |\n"
        "| Two-Stream+LSTM | 17.8 |  |\n"
        "| CoViAR | 21.9 |  |\n"
        "| Asyn-TF | 22.4 |  |\n"
        "| MultiScale TRN | 25.2 |  |\n"
        "| TSN | 25.6 | 25.0 |\n"
        "| Two-branch | 28.8 | 29.2 |\n"
        "\n- Result 47\u201348: 4 videos (the official test set has 1,863).\n"
    )


def test_every_result_is_listed(everything):
    table = list(csv.DictReader(everything["tables/results.csv"].decode().splitlines()))
    assert [row["result"] for row in table] == [str(number) for number in range(1, 49)]
    (row,) = [row for row in table if row["files"].endswith("tsn+rlstm_two_stream")]
    assert row["percent"] == "94.3"
    assert row["videos"] == "1000"
    assert row["model"] == "tsn + tsn + rlstm + rlstm"
    assert row["stream"] == "spatial + temporal + spatial + temporal"
    assert row["weight"] == "0.225 + 0.275 + 0.225 + 0.275"
    assert row["backbone"] == " + ".join(4 * ["resnet101v2"])
    assert row["protocol"] == " + ".join(4 * ["paper"])
    assert row["stands_in"] == "table 2"
    (row,) = [row for row in table if row["files"].endswith("ucf1011_two_branch")]
    assert row["stands_in"] == "table 3, table 4, table 5, table 6, table 7, recurrent peers"


def test_one_run_fills_only_its_cells(tmp_path):
    write(tmp_path, "run", 873, model="tsn", stream="temporal")
    files = files_of(tmp_path)
    names = ["table2", "table3", "table4", "table5", "table6", "table7", "table8"]
    filled = [
        (name, row[0], column, cell)
        for name in [*names, "recurrent_peers"]
        for row in rows(files, name)[1:]
        for column, cell in zip(rows(files, name)[0][1:], row[1:])
        if cell and "paper" not in column
    ]
    assert filled == [
        ("table2", "TSN", "temporal, ours", "87.3"),
        ("recurrent_peers", "TSN", "temporal", "87.3"),
    ]


def test_a_mean_needs_every_split(tmp_path):
    for split in (1, 3):
        write(tmp_path, f"{split}", split=split, stream="two_stream")
    files = files_of(tmp_path)
    assert rows(files, "table6")[-1] == ["Two-branch", "94.8", "", "71.4", ""]
    lack = "Two-branch: no result of UCF-101 split 2, so no mean"
    assert f"- {lack}.\n" in files["tables/table6.md"].decode()
    assert lack in files["index.html"].decode()
    write(tmp_path, "2", 800, split=2, stream="two_stream")
    assert rows(files_of(tmp_path), "table6")[-1] == ["Two-branch", "94.8", "60.0", "71.4", ""]


def test_two_results_for_one_cell_are_refused(tmp_path):
    write(tmp_path, "first", 500)
    write(tmp_path, "second", 600)
    with pytest.raises(DataError, match=r"first and .*second are both T = 8, spatial, UCF-101 spl"):
        files_of(tmp_path)


def test_the_papers_protocol_comes_first(tmp_path):
    write(tmp_path, "a", 500, protocol="center")
    assert rows(files_of(tmp_path), "table4")[-1][2] == "50.0"
    write(tmp_path, "b", 600, protocol="paper")
    assert rows(files_of(tmp_path), "table4")[-1][2] == "60.0"
    write(tmp_path, "c", 700, protocol="center")
    assert rows(files_of(tmp_path), "table4")[-1][2] == "60.0"


@pytest.mark.parametrize(
    "changes",
    [
        {"subset": "val"},
        {"split": 2},
        {"dataset": "folder"},
        {"num_segments": 7},
        {"cut": "conv5_block1_preact_bn"},
        {"model": "two_branch+two_branch"},
    ],
)
def test_results_that_fit_no_row_of_two_branch(tmp_path, changes):
    write(tmp_path, "run", **changes)
    files = files_of(tmp_path)
    for name in ("table3", "table4", "table5"):
        assert [row[2] for row in rows(files, name)[1:]] == [""] * (len(rows(files, name)) - 1)


def test_another_cut_is_only_in_table_5(tmp_path):
    write(tmp_path, "run", 500, cut="conv5_block1_out", backbone="tiny_resnetv2")
    files = files_of(tmp_path)
    assert [row[2] for row in rows(files, "table5")[1:]] == ["50.0", "", ""]
    assert [row[2] for row in rows(files, "table3")[1:]] == ["", "", "", ""]
    assert [row[2] for row in rows(files, "table4")[1:]] == ["", "", ""]


def test_a_row_that_is_not_exact_takes_the_closest_network(tmp_path):
    write(tmp_path, "three", 500, model="tsn", num_segments=3)
    files = files_of(tmp_path)
    assert rows(files, "table2")[1][2] == "50.0"
    assert "Result 1: T = 3 (paper: 8)" in files["tables/table2.md"].decode()
    write(tmp_path, "eight", 600, model="tsn")
    files = files_of(tmp_path)
    assert rows(files, "table2")[1][2] == "60.0"
    assert "T = 3" not in files["tables/table2.md"].decode()
    write(tmp_path, "rlstm", 700, model="rlstm", cut="conv5_block1_out")
    markdown = files_of(tmp_path)["tables/table4.md"].decode()
    assert "cut conv5_block1_out (paper: conv5_block2_out)" in markdown


def test_remarks_on_deviations(tmp_path):
    write(tmp_path, "run", 500, model="tsn", protocol="center", backbone="tiny_resnetv2")
    assert files_of(tmp_path)["tables/table2.md"].decode().split("\n\n")[-1] == (
        "- Result 1: protocol center (paper: 4 groups, 5 crops).\n"
        "- Result 1: backbone tiny_resnetv2 (paper: ResNet-101 v2).\n"
        "- Result 1: 1,000 videos (the official test set has 3,783).\n"
    )


def test_contradicting_results(tmp_path):
    write(tmp_path, "a", model="tsn")
    write(tmp_path, "b", model="rlstm", videos=999)
    with pytest.raises(DataError, match=r"UCF-101 split 1: .*a and .*b are of different videos"):
        files_of(tmp_path)


def test_the_order_of_videos_does_not_matter(tmp_path):
    labels, ids = [0, 1, 2], ["x", "y", "z"]
    scores = evaluations.logits_of([0, 1, 0], 3)
    order = [2, 0, 1]
    metrics = evaluations.description()
    evaluations.write(tmp_path / "a", metrics, ids, labels, scores, list("abc"))
    evaluations.write(
        tmp_path / "b",
        {**metrics, "model": "tsn"},
        [ids[k] for k in order],
        [labels[k] for k in order],
        scores[order],
        list("abc"),
    )
    (group,) = selection.test_sets(read_results([str(tmp_path)])).values()
    assert [result.scores.ids for result in group] == [ids, ids]
    assert (group[0].scores.logits == group[1].scores.logits).all()
    assert group[1].scores.labels.tolist() == labels

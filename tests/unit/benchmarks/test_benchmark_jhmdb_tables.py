"""The table and the figure of the J-HMDB benchmark."""

import cv2
import numpy as np
import pandas as pd
import pytest
from repository import ROOT

from benchmarks import jhmdb_figure
from benchmarks.jhmdb_tables import to_markdown
from rlstm_tf.cli import app

RESULTS = ROOT / "benchmarks/results/jhmdb.csv"


def test_means_and_deviations():
    """Splits with 0.5, 0.6, 0.7 and 0.5, 0.5, 0.5: deviations of 10 and 0 over the seeds."""
    columns = ("network", "stream", "split", "seed", "accuracy", "seconds", "cpu_seconds")
    accuracies = {"1": ("0.5", "0.6", "0.7"), "2": ("0.5", "0.5", "0.5")}
    rows = [
        ("tsn", "rgb", split, str(seed), accuracy, "60", "30")
        for split, found in accuracies.items()
        for seed, accuracy in enumerate(found)
    ]
    rows += [("lstm", "rgb", "1", "0", "", "10", "10"), ("tsn", "rgb+dis", "1", "0", "1", "", "")]
    table = pd.DataFrame(rows, columns=columns, dtype=str).assign(gigabytes="1.5")
    lines = to_markdown(table).splitlines()
    assert lines[0].startswith("| network | stream | trainings | split 1 | split 2 | mean |")
    assert [line.replace(" ", "") for line in lines[2:]] == [
        "|tsn|rgb|6|60.0|50.0|55.0|7.1|7.1|60.0|30.0|1.50|",
        "|lstm|rgb|1,1diverged||||||10.0|10.0|1.50|",
        "|tsn|rgb+dis|1|100.0||100.0|||||1.50|",
    ]


def draw(results, output):
    given = ["jhmdb_figure", f"--results={results}", f"--output={output}"]
    return app.run(jhmdb_figure.main, jhmdb_figure.define_flags, given)


def colors_of(path):
    """Streams whose color is in the picture."""
    pixels = cv2.imread(str(path))[..., ::-1]
    rgb = {
        stream: [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        for stream, (_, color, _) in jhmdb_figure._STREAMS.items()
    }
    return {stream for stream, color in rgb.items() if (pixels == color).all(axis=-1).any()}


def test_each_stream_is_drawn(tmp_path):
    assert draw(RESULTS, tmp_path / "all.png") == 0
    rows = pd.read_csv(RESULTS, dtype=str, keep_default_na=False)
    assert colors_of(tmp_path / "all.png") == {*rows["stream"]}
    rows[rows["stream"] == "dis"].to_csv(tmp_path / "dis.csv", index=False)
    assert draw(tmp_path / "dis.csv", tmp_path / "dis.png") == 0
    assert colors_of(tmp_path / "dis.png") == {"dis"}


def test_what_lacks_a_split_is_left_out(tmp_path):
    rows = pd.read_csv(RESULTS, dtype=str, keep_default_na=False)
    rows = rows[(rows["stream"] != "tvl1_half") | (rows["split"] == "1")]
    rows.to_csv(tmp_path / "some.csv", index=False)
    assert draw(tmp_path / "some.csv", tmp_path / "some.png") == 0
    assert colors_of(tmp_path / "some.png") == {*rows["stream"]} - {"tvl1_half"}


def test_marks_are_at_the_means(tmp_path):
    """The first network on top, a higher accuracy further to the right."""
    columns = ("network", "stream", "split", "seed", "accuracy", "seconds", "cpu_seconds")
    rows = [("tsn", "rgb+dis", "1", "0", "0.25", "", ""), ("lstm", "dis", "1", "0", "0.75", "", "")]
    table = pd.DataFrame(rows, columns=columns, dtype=str).assign(gigabytes="")
    table.to_csv(tmp_path / "two.csv", index=False)
    assert draw(tmp_path / "two.csv", tmp_path / "two.png") == 0
    pixels = cv2.imread(str(tmp_path / "two.png"))[..., ::-1]
    below_legend = pixels[pixels.shape[0] // 4 :]
    places = {
        color: np.argwhere((below_legend == rgb).all(axis=-1)).mean(axis=0)
        for color, rgb in (("tsn", (0x00, 0x72, 0xB2)), ("lstm", (0x56, 0xB4, 0xE9)))
    }
    assert places["tsn"][0] < places["lstm"][0]
    assert places["tsn"][1] < places["lstm"][1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "results.csv: No such file or directory"),
        ("a,b\n1,2\n", "results.csv is not a table of benchmarks.jhmdb"),
        ("", "results.csv is not a table of benchmarks.jhmdb"),
    ],
)
def test_other_tables_are_refused(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "results.csv").write_text(content)
    assert draw(tmp_path / "results.csv", tmp_path / "dots.png") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {tmp_path}/{message}"
    assert not (tmp_path / "dots.png").exists()

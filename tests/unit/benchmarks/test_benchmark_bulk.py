"""The benchmark of many videos: what it runs and writes, not what that takes."""

import csv
import sys

import pytest

from benchmarks import bulk
from benchmarks.usage import Usage
from rlstm_tf.cli import app
from rlstm_tf.errors import DataError


def test_rows(tmp_path, monkeypatch, capsys):
    ran = []

    def run(command, directory):
        given = next((one for one in command if one.startswith("--videos=")), None)
        pattern = given.partition("=")[2] if given else f"{command[-1].rpartition('/')[0]}/*.mp4"
        ran.append(len(list(directory.glob(pattern))))
        return Usage(2.0, 1.0, 0.5)

    monkeypatch.setattr(bulk, "_run", run)
    monkeypatch.setattr("benchmarks.exports.export_untrained", lambda version: None)
    monkeypatch.setattr(bulk, "_FRAMES", 2)
    given = ["bulk", "--clips=10", "--short=3", "--short=9", f"--output={tmp_path}/bulk.csv"]
    assert app.run(bulk.main, bulk.define_flags, given) == 0
    assert ran == [8] * 3 + [10] * 3 + [3, 9]
    with (tmp_path / "bulk.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["way"], row["workers"], row["videos"]) for row in rows[:4]] == [
        *(("predict", "1", "8"), ("beam", "1", "8"), ("beam", "2", "8"), ("predict", "1", "10")),
    ]
    assert [(row["way"], row["frames"], row["videos"]) for row in rows[6:]] == [
        ("beam", "4", "3"),
        ("beam", "4", "9"),
    ]
    assert rows[0]["command"] == "rlstm_tf.predict --model=model --json ..."
    assert rows[2]["command"].endswith("multi_threading --direct_num_workers=2")
    assert len(capsys.readouterr().out.splitlines()) == 1 + 8
    assert app.run(bulk.main, bulk.define_flags, [*given, "--short=4"]) == 0
    assert ran[8:] == [4]


def test_a_command_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="x: it failed"):
        bulk._run(["x"], tmp_path)

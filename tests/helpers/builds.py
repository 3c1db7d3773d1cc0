"""Runs build and verify in the process of the test."""

from __future__ import annotations

from pathlib import Path

from rlstm_tf.cli import app
from tfrecords_tools import build, verify


def run(capfd, *arguments, program=build):
    """Runs a command; returns exit status, stdout, and the lines of errors and damaged videos."""
    name = "data" if program is verify else None
    status = app.run(program.main, program.define_flags, ["prog", *arguments], positional=name)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    lines = [line.split("\r")[-1] for line in captured.err.splitlines()]
    return status, captured.out, [line for line in lines if line.startswith(("error", "damaged"))]


def files(directory):
    return {path.name: path.read_bytes() for path in Path(directory).iterdir() if path.is_file()}


def tree(directory):
    """Reads all files below a directory; relative path -> content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def arguments(videos, directory, *more):
    return [
        *("--dataset=folder", f"--videos={videos}", f"--output={directory}"),
        *("--short_side=32", "--shards=2", "--workers=1", *more),
    ]

"""Runs build and verify in the process of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from repository import ROOT

from rlstm_tf.cli import app
from tfrecords_tools import build, verify

_SHOWN = ("error", "damaged", "partial")


def run(capfd, *arguments, program=build):
    """Runs a command; returns exit status, stdout, and the lines of errors and bad videos."""
    name = "data" if program is verify else None
    status = app.run(program.main, program.define_flags, ["prog", *arguments], positional=name)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    lines = [line.split("\r")[-1] for line in captured.err.splitlines()]
    return status, captured.out, [line for line in lines if line.startswith(_SHOWN)]


def kill_once_made(module, given, directory, pattern):
    """Kills a command, with its processes, once such files are in a directory; returns them."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *given],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (made := list(directory.glob(pattern))) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert made
    return made


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

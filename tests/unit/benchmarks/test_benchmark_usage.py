"""Time and memory of commands that benchmarks run."""

import subprocess
import sys

import pytest
from benchmark_runs import write_history

from benchmarks import trainings, usage
from benchmarks.usage import Usage

# Has a child of 100 MB, and ends once a look at both has been written.
_PROGRAM = """
import json, pathlib, subprocess, sys
child = "import sys; held = bytes(range(256)) * 400_000; print(1, flush=True); sys.stdin.read()"
held = subprocess.Popen(
    [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
held.stdout.readline()
path = pathlib.Path(sys.argv[1])
while not path.exists() or json.loads(path.read_text())["gigabytes"] < 0.1:
    pass
held.communicate()
sys.exit(3)
"""


def test_usage_of_a_process_and_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "_LOOK", 0.01)
    monkeypatch.setattr(usage, "_WRITE", 0)
    path = tmp_path / "used.json"
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    assert usage.wait(subprocess.Popen(command), path) == 3
    first = Usage.load(path)
    assert 0.1 <= first.gigabytes < 1
    assert first.seconds > 0
    assert first.cpu_seconds > 0
    # Another attempt: times add up, and the larger peak stays.
    assert usage.wait(subprocess.Popen([sys.executable, "-c", ""]), path) == 0
    both = Usage.load(path)
    assert both.seconds > first.seconds
    assert both.cpu_seconds > first.cpu_seconds
    assert both.gigabytes == first.gigabytes


def test_nothing_is_used_before_the_first_attempt(tmp_path):
    assert Usage.load(tmp_path / "used.json") == Usage(0, 0, 0)


def test_attempts_of_a_deleted_run_do_not_count(tmp_path, monkeypatch):
    def train(log, module, *flags, core, used):
        write_history(tmp_path / used.name.split(".")[0], 1)

    monkeypatch.setattr(trainings, "run_command", train)
    (tmp_path / "stopped").mkdir()
    for name, seconds in (("stopped", 5), ("deleted", 0)):
        Usage(5, 4, 3).save(tmp_path / f"{name}.used.json")
        record = trainings.train(tmp_path / name, ["--epochs=1"], [], "two cores", None)
        assert record["seconds"] == seconds


def test_a_process_that_is_gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert usage.look(process.pid) == pytest.approx((0, 0))

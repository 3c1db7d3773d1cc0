"""Row 2: SIGKILL while training, at any moment; started again with the same command."""

import itertools
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from repository import ROOT
from trainings import assert_same_run, command, start, train_here

from rlstm_tf.training import preemption

EPOCHS = "--epochs=5"


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """A run never stopped, by the command line as a user has it."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([sys.executable, *command(shards, run_dir, EPOCHS)], cwd=ROOT, check=True)
    return run_dir


def finish(*arguments):
    """Trains to the end."""
    process = start(*arguments)
    output, _ = process.communicate()
    assert process.returncode == 0, output


def checkpoints(run_dir):
    return {path.name for path in run_dir.glob("checkpoints/step-*.npz")}


def kill_at_some_moment(process, run_dir, draws):
    """SIGKILLs it early, while it writes, or after some steps; whether it lived to see that."""
    for line in process.stdout:
        if line.startswith("TensorBoard:"):
            break
    kind, count = draws.choice(("early", "writing", "between")), draws.randrange(1, 4)
    late = time.monotonic() + draws.uniform(0, 5)
    known = checkpoints(run_dir)
    while process.poll() is None:
        if kind == "early" and time.monotonic() > late:
            break
        if kind == "writing" and count == 1 and any(run_dir.glob("checkpoints/*.partial")):
            break
        new, known = checkpoints(run_dir) - known, checkpoints(run_dir) | known
        count -= len(new)
        if kind == "between" and count <= 0:
            time.sleep(draws.uniform(0, 0.1))
            break
        count = max(count, 1) if kind == "writing" else count
        time.sleep(0.001)
    process.kill()
    process.stdout.close()
    return process.wait() == -signal.SIGKILL


def killed_chain(shards, whole, run_dir, wanted, seed):
    """Kills one run again and again, lets it end, and compares; returns the number of kills."""
    draws = random.Random(seed)
    more = (EPOCHS, f"--save_every={draws.choice((1, 2, 3))}")
    kills = 0
    while kills < wanted:
        if not kill_at_some_moment(start(shards, run_dir, *more), run_dir, draws):
            break
        kills += 1
    finish(shards, run_dir, *more)
    assert_same_run(run_dir, whole)
    return kills


@pytest.mark.timeout(1200)
def test_killed_at_any_moment(shards, whole, tmp_path, times, survived):
    """Several runs one after the other, two at a time."""
    wanted = times(20, 1)
    kills = 0
    seeds = itertools.count()

    def next_chain(left):
        seed = next(seeds)
        return killed_chain(shards, whole, tmp_path / f"run{seed}", min(left, 5), seed)

    with ThreadPoolExecutor(2) as pool:
        while kills < wanted:
            kills += sum(pool.map(next_chain, [wanted - kills, wanted - kills][: times(2, 1)]))
    survived(2, kills)


def test_hours_that_are_over(shards, whole, tmp_path, capsys, monkeypatch):
    """A clock on which each look takes 1,000 seconds; the run is the one never stopped."""
    with monkeypatch.context() as clock:
        seconds = itertools.count(0, 1000)
        clock.setattr(preemption, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
        assert train_here(shards, tmp_path / "run", EPOCHS, "--max_hours=1") == 0
    said = (
        "stopped after --max_hours=1 after step 3, which is saved; the same command with --resume"
    )
    assert said in capsys.readouterr().out
    assert train_here(shards, tmp_path / "run", EPOCHS, "--max_hours=1000") == 0
    assert "stopped" not in capsys.readouterr().out
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.timeout(1200)
def test_sigterm_saves_and_ends_well(shards, thorough, whole, tmp_path, survived):
    """Between two steps, with no other checkpoint of the epoch there."""
    wanted, stopped = 3, 0
    for number in itertools.count():
        run_dir = tmp_path / f"run{number}"
        process = start(shards, run_dir, EPOCHS)
        for line in process.stdout:
            if line.startswith("TensorBoard:"):
                break
        time.sleep(random.Random(number).uniform(0, 5))
        process.send_signal(signal.SIGTERM)
        output = process.stdout.read()
        assert "Traceback" not in output
        said = re.search(r"stopped by SIGTERM (before|after step (\d+))", output)
        if said:
            assert process.wait() == 0, output
            if said[2]:
                assert max(checkpoints(run_dir)) == f"step-{int(said[2]):09d}.npz"
            finish(shards, run_dir, EPOCHS)
            stopped += 1
        else:  # it came when all was over, even while Python was about to go
            assert process.wait() in (0, -signal.SIGTERM), output
        assert_same_run(run_dir, whole)
        if stopped == wanted:
            break
    survived(2, stopped)

"""Row 2: signals to a search and its trainings; the same command resumes it."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import signal
import time
from contextlib import redirect_stdout

import psutil
import pytest
from searches import run_warm
from trainings import SMALL, arrays, assert_same_run, error_of, history, train_here
from warm_python import Python

from rlstm_tf import tune
from rlstm_tf.cli import app
from rlstm_tf.tuning import process
from rlstm_tf.tuning.directory import SearchDirectory

SEARCH = (
    *("--tuner=hyperband", "--max_epochs=2", "--factor=2", "--save_every=1"),
    "--search=learning_rate=1e-3:1e-1,dropout=0:0.5",
)

STATUS = {signal.SIGTERM: 0, signal.SIGINT: 130}
NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


def command(shards, output):
    line = ["-m", "rlstm_tf.tune", f"--data={shards}", f"--output={output}"]
    return [*line, *SMALL, *SEARCH]


def start(shards, output):
    """Starts a search in a session of its own; its output is in `stdout`."""
    return Python(command(shards, output), start_new_session=True)


def finish(shards, output):
    search = start(shards, output)
    said, _ = search.communicate()
    assert search.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """Runs an undisturbed search: two trials of one epoch, one continued, two of two epochs."""
    output = tmp_path_factory.mktemp("whole") / "search"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as said:
        patch.setattr(process, "_run", run_warm)
        line = command(shards, output)[1:]
        assert app.run(tune.main, tune.define_flags, line) == 0
    assert "search: hyperband, 5 trials, 7 epochs in all" in said.getvalue()
    return output


def rows(output):
    with (output / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def runs(output):
    return sorted(path for path in (output / "trials").iterdir() if path.is_dir())


def assert_same_search(found, expected):
    """Compares a disturbed search with an undisturbed one, every run included."""
    assert (found / "trials.csv").read_bytes() == (expected / "trials.csv").read_bytes()
    flags = (expected / "best.cfg").read_text().replace(str(expected), str(found))
    assert (found / "best.cfg").read_text() == flags
    assert [run.name for run in runs(found)] == [run.name for run in runs(expected)]
    for one, other in zip(runs(found), runs(expected)):
        assert_same_run(one, other)
    assert not list(found.rglob("*.partial"))


def trainings(output):
    """Returns the processes that train for a search."""
    found = []
    for candidate in psutil.process_iter():
        try:
            line = candidate.cmdline()
        except psutil.Error:
            continue
        if "rlstm_tf.tuning.child" in line and any(f"={output}/trials" in part for part in line):
            found.append(candidate)
    return found


def some_moment(search, output, trial, draws):
    """Waits for a moment of a trial: its start, a checkpoint, or its last epoch's end."""
    what = draws.choice(("train.log", "flags.cfg", "checkpoints/step-*.npz", "history.csv"))
    while not list((output / "trials").glob(f"{trial:04d}/{what}")) and search.poll() is None:
        time.sleep(0.05)
    time.sleep(draws.choice((0.0, draws.uniform(0, 1), draws.uniform(0, 6))))


def disturb(shards, output, trial, kind, draws):
    """Starts a search and sends a signal during a trial; returns False if it came too late.

    SIGTERM and SIGINT go to the search; "search", "training" and "both" are killed.
    """
    # Trainings that a killed search left: this search may be stopped while it waits for them.
    earlier = trainings(output)
    search = start(shards, output)
    some_moment(search, output, trial, draws)
    sent = search.poll() is None
    if kind in ("training", "both"):
        left = trainings(output)
        sent = bool(left)
    if kind in ("search", "both"):
        search.kill()
    elif kind in STATUS:
        search.send_signal(kind)
    if kind in ("training", "both"):
        for training in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                training.kill()
    said = search.stdout.read() if kind not in ("search", "both") else ""
    search.stdout.close()
    status = search.wait()
    assert "Traceback" not in said
    if kind in STATUS and sent:
        done = status == 0 and "best: trial" in said  # it came when all was over
        assert done or status == STATUS[kind], said
        assert done or f"stopped by {NAMES[kind]}: the same command resumes it" in said
        assert set(trainings(output)) <= set(earlier)
    elif kind == "training":
        assert status == 0, said
    else:
        assert ended(output)
    return sent


def ended(output, seconds=60):
    """Waits for the trainings of a search; returns False if some are left."""
    late = time.monotonic() + seconds
    while trainings(output) and time.monotonic() < late:
        time.sleep(0.1)
    return not trainings(output)


def test_results_of_a_search(shards, whole, tmp_path):
    """A continued trial equals one run of its settings; best.cfg repeats the best trial."""
    found = rows(whole)
    assert [row["after"] for row in found] == ["", "", found[2]["after"], "", ""]
    source = found[int(found[2]["after"]) - 1]
    assert float(source["score"]) == max(float(row["score"]) for row in found[:2])
    run = whole / "trials" / "0003"
    settings = [f"--{name}={found[2][name]}" for name in ("learning_rate", "dropout")]
    assert train_here(shards, tmp_path / "run", *settings, "--epochs=2", "--save_every=1") == 0
    assert history(tmp_path / "run") == history(run)
    assert arrays_equal(tmp_path / "run", run)
    best = max(found, key=lambda row: (float(row["score"]), -float(row["loss"])))
    flags = f"--flagfile={whole / 'best.cfg'}"
    assert train_here(shards, tmp_path / "best", flags, f"--run_dir={tmp_path / 'best'}") == 0
    last = history(tmp_path / "best")[-1]
    assert (last["val_accuracy"], last["val_loss"]) == (best["score"], best["loss"])


def arrays_equal(one, other):
    a, b = (
        arrays(max((run / "checkpoints").glob("step-*.npz"), key=lambda path: path.name))
        for run in (one, other)
    )
    return set(a) == set(b) and all((a[name] == b[name]).all() for name in a)


@pytest.mark.timeout(3600)
def test_disturbed_at_any_moment(shards, whole, tmp_path, times, survived):
    """Each trial gets another signal; trainings of a killed search save and end."""
    kinds = [signal.SIGTERM, "search", signal.SIGINT, "training", "both"]
    sent = 0
    for seed in range(times(2, 1)):
        draws, output = random.Random(seed), tmp_path / f"search{seed}"
        for trial, kind in enumerate(kinds[: times(5, 2)], 1):
            sent += disturb(shards, output, trial, kind, draws)
        said = finish(shards, output)
        assert "best: trial" in said
        assert_same_search(output, whole)
        draws.shuffle(kinds)
    survived(2, sent)


def test_a_second_search_is_refused(shards, tmp_path, survived):
    """Two processes cannot search in one directory."""
    output = tmp_path / "search"
    with SearchDirectory(output).open({}, {}):
        second = start(shards, output)
        said, _ = second.communicate()
        assert second.returncode == 1
        assert error_of(said) == f"error: output {output} is in use by another search"
    survived(12, 1)

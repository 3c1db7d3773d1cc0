"""The process of a trial: started, waited for, and judged by how it ended."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.directory import RunDirectory, list_checkpoints
from rlstm_tf.storage.atomic import writing
from rlstm_tf.tuning import child

LOG = "train.log"
# Between two looks at how far it is.
_SECONDS = 1.0
# A training that was killed goes on; one that gets no further in so many starts is given up.
_STARTS = 3
# What a training says where it has diverged (`rlstm_tf.training.trainer`).
_DIVERGED = re.compile(r"error: (.*, learning rate \S+): earlier checkpoints are kept")
# The first line of what was raised; what follows it may be advice, or where in a graph.
_RAISED = re.compile(r"^\S*(?:Error|Exception)\b.*", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"
# The run of a trial refuses other flags, as to one who gave them to `rlstm_tf.train`.
_OTHER_RUN = "--resume: the run was started"
_OUT_OF_MEMORY = re.compile(r"ResourceExhausted|OutOfMemory|out of memory|OOM|MemoryError")


class FailedError(Exception):
    """The settings of a trial are no good; others may be."""


def train(
    run_dir: Path, flags: Sequence[str], epochs: int, hold: int, seen: Callable[[int], None]
) -> dict[str, float]:
    """Trains in a process of its own, from where the run is up to its last epoch.

    Args:
        run_dir: of the run.
        flags: of the training, but for `--run_dir` and `--resume`.
        epochs: of the run in all.
        hold: descriptor that the process is to inherit.
        seen: called now and then with the number of epochs that are over.

    Returns:
        The last epoch's row of `history.csv`.

    Raises:
        FailedError: it diverged, or wants more memory than there is.
        UsageError, DataError: whatever else the training ended with: another would end so too.
        KeyboardInterrupt, rlstm_tf.training.preemption.Stopped: the training has saved and ended.
    """
    run, log = RunDirectory(run_dir), run_dir / LOG
    left = _STARTS
    while True:
        known = list_checkpoints(run.checkpoints)
        with writing(log):
            run_dir.mkdir(parents=True, exist_ok=True)
            first = log.stat().st_size if log.exists() else 0
        arguments = [*flags, f"--run_dir={run_dir}", "--resume"]
        status = _run(arguments, log, hold, lambda: seen(len(_history(run))))
        rows = _history(run)
        if status == 0 and len(rows) >= epochs:
            return rows[epochs - 1]
        if status > 0:
            raise _judged(status, log, first)
        # By a signal: SIGTERM is one too, on which it ends well.
        left = _STARTS if list_checkpoints(run.checkpoints) != known else left - 1
        if not left:
            name = signal.Signals(-status).name if status else "SIGTERM"
            raise FailedError(f"ended by {name} {_STARTS} times (out of memory?)")


def _run(arguments: Sequence[str], log: Path, hold: int, look: Callable[[], None]) -> int:
    """Runs a training to its end; its status, negative for a signal."""
    program = [sys.executable, "-m", "rlstm_tf.tuning.child", str(os.getpid())]
    with writing(log):
        output = log.open("ab")
    # Not while there is a process that is not known yet.
    signal.pthread_sigmask(signal.SIG_BLOCK, child.ASKED)
    try:
        with output:
            process = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[hold],
                # Ctrl-C is for the search, which asks the training to save first.
                start_new_session=True,
            )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, child.ASKED)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, child.ASKED)
        while True:
            try:
                return process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                look()
    except BaseException:
        process.terminate()
        try:
            process.wait()
        finally:  # asked twice, it does not wait
            process.kill()
            process.wait()
        raise


def _judged(status: int, log: Path, first: int) -> Exception:
    """The error to raise for a training that ended with one, by what it said from a byte on."""
    try:
        with log.open("rb") as file:
            file.seek(first)
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return DataError(f"cannot read {log}: {error.strerror}")
    diverged = _DIVERGED.search(text)
    if diverged:
        return FailedError(diverged[1])
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["nothing was said"]
    said = [line for line in lines if line.startswith("error: ")]
    if said:
        reason = said[-1][len("error: ") :]
        if reason.startswith(_OTHER_RUN):
            reason = reason.replace("--resume: the run", f"the run {log.parent}", 1)
            reason += ": give another --output"
        return (UsageError if status == 2 else DataError)(reason)
    if _OUT_OF_MEMORY.search(text):
        return FailedError("out of memory")
    # Of several the last one: the others were caught, or are what it came from.
    _, traceback, after = text.rpartition(_TRACEBACK)
    raised = _RAISED.search(after) if traceback else None
    reason = raised[0].strip() if raised else lines[-1]
    return DataError(f"a training ended with status {status}, {log}: {reason}")


def _history(run: RunDirectory) -> list[dict[str, float]]:
    """The rows of a run's table of epochs; none if there is no table yet."""
    try:
        with run.history.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{run.history} is damaged: {error}") from None

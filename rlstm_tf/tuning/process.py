"""Runs the training of a trial in a process of its own."""

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
from rlstm_tf.storage.creation import open_to_append
from rlstm_tf.tuning import child

LOG = "train.log"
_POLL_S = 1.0
# A killed training is resumed; after this many starts without a new checkpoint it has failed.
_MAX_STARTS = 3
# Error of a training that has diverged (`rlstm_tf.training.trainer`).
_DIVERGED = re.compile(r"error: (.*, learning rate \S+):")
# First line of an exception; more lines may follow with advice or a place in a graph.
_RAISED = re.compile(r"^\S*(?:Error|Exception)\b.*", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"
# Error of a run that was started with other flags.
_OTHER_FLAGS = "--resume: the run was started"
_OUT_OF_MEMORY = re.compile(r"ResourceExhausted|OutOfMemory|out of memory|OOM|MemoryError")


class FailedError(Exception):
    """The training failed because of its settings; others may succeed."""


def train(
    run_dir: Path, flags: Sequence[str], epochs: int, lock: int, report: Callable[[int], None]
) -> dict[str, float]:
    """Trains in a process of its own, resuming a run that was interrupted.

    Args:
        run_dir: directory of the run.
        flags: flags of the training, except `--run_dir` and `--resume`.
        epochs: total epochs of the run.
        lock: file descriptor for the process to inherit, so that it holds the lock too.
        report: called about once a second with the number of finished epochs.

    Returns:
        The last epoch's row of `history.csv`.

    Raises:
        FailedError: it diverged or ran out of memory.
        UsageError, DataError: it failed for another reason, which would end any trial.
        KeyboardInterrupt, rlstm_tf.training.preemption.Stopped: the training has saved and ended.
    """
    run, log = RunDirectory(run_dir), run_dir / LOG
    starts_left = _MAX_STARTS
    while True:
        known = list_checkpoints(run.checkpoints)
        with writing(log):
            run_dir.mkdir(parents=True, exist_ok=True)
            first = log.stat().st_size if log.exists() else 0
        arguments = [*flags, f"--run_dir={run_dir}", "--resume"]
        status = _run(arguments, log, lock, lambda: report(len(_history(run))))
        rows = _history(run)
        if status == 0 and len(rows) >= epochs:
            return rows[epochs - 1]
        if status > 0:
            raise _error_of(status, log, first)
        # A signal ended it. On SIGTERM the status is 0.
        has_progress = list_checkpoints(run.checkpoints) != known
        starts_left = _MAX_STARTS if has_progress else starts_left - 1
        if not starts_left:
            name = signal.Signals(-status).name if status else "SIGTERM"
            raise FailedError(f"ended by {name} {_MAX_STARTS} times (out of memory?)")


def _run(arguments: Sequence[str], log: Path, lock: int, poll: Callable[[], None]) -> int:
    """Runs a training to its end; returns its status, negative for a signal."""
    program = [sys.executable, "-m", "rlstm_tf.tuning.child", str(os.getpid())]
    with writing(log):
        output = open_to_append(log)
    # A signal between the start of the process and its assignment would leave it behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, child.STOP_SIGNALS)
    try:
        with output:
            process = subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[lock],
                # Keeps Ctrl-C from the training: the search asks it to save first.
                start_new_session=True,
            )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, child.STOP_SIGNALS)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, child.STOP_SIGNALS)
        while True:
            try:
                return process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                poll()
    except BaseException:
        process.terminate()
        try:
            process.wait()
        finally:  # a second signal ends the wait
            process.kill()
            process.wait()
        raise


def _error_of(status: int, log: Path, first: int) -> Exception:
    """Returns the error for a failed training, by its log from byte `first` on."""
    try:
        with log.open("rb") as file:
            file.seek(first)
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return DataError(f"cannot read {log}: {error.strerror}")
    diverged = _DIVERGED.search(text)
    if diverged:
        return FailedError(diverged[1])
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no output"]
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        reason = errors[-1][len("error: ") :]
        if reason.startswith(_OTHER_FLAGS):
            reason = reason.replace("--resume: the run", f"the run {log.parent}", 1)
            reason += ": give another --output"
        return (UsageError if status == 2 else DataError)(reason)
    if _OUT_OF_MEMORY.search(text):
        return FailedError("out of memory")
    # The last traceback: earlier ones were caught, or are its cause.
    _, traceback, after = text.rpartition(_TRACEBACK)
    raised = _RAISED.search(after) if traceback else None
    reason = raised[0].strip() if raised else lines[-1]
    return DataError(f"a training ended with status {status}, {log}: {reason}")


def _history(run: RunDirectory) -> list[dict[str, float]]:
    """Reads history.csv; no rows if it does not exist yet."""
    try:
        with run.history.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{run.history} is damaged: {error}") from None

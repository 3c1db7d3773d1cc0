"""Trains networks in processes, each once, and several at a time; stopped ones are resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import usage
from benchmarks.machine import commit
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import write_atomic, writing

# File in a run: its command, commit and machine, whether it diverged, and its `Usage`.
RECORD = "benchmark.json"
# The end of the message of a training whose loss is not finite.
_DIVERGED = "try a smaller --learning_rate"


class CommandError(DataError):
    """A command failed.

    Attributes:
        last: last line that it printed.
    """

    def __init__(self, module: str, status: int, log: Path) -> None:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self.last = lines[-1] if lines else ""
        super().__init__(f"{module} ended with status {status}: {self.last} ({log})")


def run_command(
    log: Path, module: str, *flags: str, core: int | None = None, used: Path | None = None
) -> None:
    """Runs one of the project's commands, and appends its output to a file.

    Args:
        log: the file.
        module: the command's module.
        flags: its flags.
        core: core that it runs on; all if None.
        used: file to which its `Usage` is added.

    Raises:
        CommandError: it failed.
    """
    environment = dict(os.environ)
    if core is not None:
        # Affinity is that of this thread, and inherited by its processes.
        os.sched_setaffinity(0, {core})
        environment.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    with log.open("ab") as file:
        command = [sys.executable, "-m", module, *flags]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        with process:
            status = usage.wait(process, used) if used else process.wait()
    if status:
        raise CommandError(module, status, log)


def log_of(directory: Path) -> Path:
    """Returns the log of the commands about a run."""
    # Not with_suffix: a learning rate has a dot.
    return directory.with_name(f"{directory.name}.log")


def train(
    directory: Path, flags: Sequence[str], places: Sequence[str], machine: str, core: int | None
) -> dict[str, Any]:
    """Trains, unless done before.

    Args:
        directory: of the run.
        flags: flags that say what is trained, --epochs among them.
        places: flags with paths, which are of no use on other machines and not in the record.
        machine: what it runs on.
        core: core that it runs on; all if None.

    Returns:
        The content of `RECORD`.

    Raises:
        DataError: the training failed or was stopped, or the directory is of another one.
    """
    record, used = directory / RECORD, directory.with_name(f"{directory.name}.used.json")
    facts: dict[str, Any] = {
        "command": " ".join(["rlstm_tf.train", *flags]),
        "commit": commit(),
        "machine": machine,
        "diverged": False,
    }
    if record.exists():
        done: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        if done["command"] != facts["command"]:
            made = f"{directory} was made by {done['command']}"
            raise DataError(f"{made}: delete it, or give another --work")
        return done
    directory.parent.mkdir(parents=True, exist_ok=True)
    if not directory.exists():
        # Of a run that was deleted.
        used.unlink(missing_ok=True)
    command = ["rlstm_tf.train", *flags, *places, f"--run_dir={directory}", "--resume"]
    try:
        run_command(log_of(directory), *command, core=core, used=used)
    except CommandError as error:
        if not error.last.endswith(_DIVERGED):
            raise
        facts["diverged"] = True
    else:
        _check_finished(directory, flags)
    facts.update(dataclasses.asdict(usage.Usage.load(used)))
    with writing(record):
        directory.mkdir(exist_ok=True)
        write_atomic(record, json.dumps(facts).encode())
    return facts


def _check_finished(directory: Path, flags: Sequence[str]) -> None:
    """Raises DataError if a training has stopped early: on SIGTERM it ends with status 0."""
    history = directory / "history.csv"
    done = len(pd.read_csv(history)) if history.exists() else 0
    if f"--epochs={done}" not in flags:
        raise DataError(f"{directory} was stopped after epoch {done}: the same command resumes it")


class Cores:
    """Runs functions in parallel, each on its own core. If one fails, no other is started.

    Args:
        workers: number of functions that run at once; None = one per core.
    """

    def __init__(self, workers: int | None) -> None:
        self._free: queue.Queue[int | None] = queue.Queue()
        for number in cores_of(workers):
            self._free.put(number)
        self._pool = ThreadPoolExecutor(self._free.qsize())

    def __enter__(self) -> Cores:
        return self

    def __exit__(self, *error: object) -> None:
        # Waits for those that run.
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls `work(*arguments, core)` once a core is free."""

        def on_a_core() -> Any:
            core = self._free.get()
            try:
                return work(*arguments, core)
            finally:
                self._free.put(core)

        return self._pool.submit(on_a_core)


def cores_of(workers: int | None) -> list[int | None]:
    """Returns the core of each worker; None where processes cannot be bound to one."""
    if not hasattr(os, "sched_getaffinity"):
        return [None] * (workers or 1)
    own = sorted(os.sched_getaffinity(0))
    return [own[k % len(own)] for k in range(workers or len(own))]

"""Makes videos, shards and trainings of the relational benchmark, each once."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import commit, describe
from benchmarks.settings import DISTRACTORS, Setting
from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import write_atomic

# File in a run: its command, commit and machine.
RECORD = "benchmark.json"
_FRAMES, _SIZE = 16, 56


@dataclass(frozen=True)
class Size:
    """Videos and epochs of a benchmark.

    Attributes:
        videos_per_class: a fifth is for testing, and a tenth of the others for validation.
        epochs: epochs of each network; the learning rate drops before the last quarter.
        trunk_videos, trunk_epochs: videos per class and epochs of the TSN that gives all networks
            their trunk.
    """

    videos_per_class: int
    epochs: int
    trunk_videos: int
    trunk_epochs: int


WHOLE = Size(videos_per_class=600, epochs=8, trunk_videos=500, trunk_epochs=6)
QUICK = Size(videos_per_class=300, epochs=3, trunk_videos=300, trunk_epochs=4)


@dataclass(frozen=True)
class Run:
    """One training of a setting."""

    setting: Setting
    seed: int

    def directory(self, work: Path) -> Path:
        """Returns the directory of the run."""
        return work / "runs" / f"{self.setting.name}_{self.seed}"


def train_all(work: Path, size: Size, runs: list[Run], workers: int | None) -> None:
    """Makes videos, shards, the trunk and all runs that do not exist yet.

    Args:
        work: directory for all of them.
        size: videos and epochs.
        runs: runs to train and test.
        workers: trainings at a time, each on one core; None = one per core.

    Raises:
        DataError: a command failed; names its log.
    """
    trunk_data = _videos(work, "trunk", size.trunk_videos, seed=1, distractors=DISTRACTORS)
    for distractors in sorted({run.setting.distractors for run in runs}):
        _videos(work, _data_name(distractors), size.videos_per_class, 0, distractors)
    trunk = work / "runs" / "trunk"
    flags = ["--model=tsn", *_epochs(size.trunk_epochs), "--seed=0"]
    _train(work, trunk, trunk_data, flags, None)
    cores: queue.Queue[int | None] = queue.Queue()
    for core in _cores(workers):
        cores.put(core)

    def train(run: Run) -> None:
        core = cores.get()
        try:
            data = work / "data" / _data_name(run.setting.distractors) / "records"
            flags = [*run.setting.flags, *_epochs(size.epochs), f"--seed={run.seed}"]
            _train(work, run.directory(work), data, [*flags, f"--init_from={trunk}"], core)
        finally:
            cores.put(core)

    with progress_bar(len(runs), "relations", "networks") as progress:
        pool = ThreadPoolExecutor(cores.qsize())
        try:
            for done in as_completed([pool.submit(train, run) for run in runs]):
                done.result()
                progress.update()
        finally:
            # If a run failed: waits for the running ones, starts no other.
            pool.shutdown(cancel_futures=True)


def _cores(workers: int | None) -> list[int | None]:
    if not hasattr(os, "sched_getaffinity"):
        return [None] * (workers or 1)
    own = sorted(os.sched_getaffinity(0))
    return [own[k % len(own)] for k in range(workers or len(own))]


def _epochs(number: int) -> list[str]:
    return [f"--epochs={number}", f"--drop_epochs={max(1, 3 * number // 4)}"]


def _data_name(distractors: int) -> str:
    return f"distractors_{distractors}"


def _videos(work: Path, name: str, videos_per_class: int, seed: int, distractors: int) -> Path:
    """Makes the shards of a data set, unless they exist."""
    made, records = work / "data" / name, work / "data" / name / "records"
    flags = [f"--output={made / 'videos'}", "--scenes=relations", f"--size={_SIZE}"]
    flags += [f"--num_frames={_FRAMES}", f"--videos_per_class={videos_per_class}"]
    made.mkdir(parents=True, exist_ok=True)
    log = made / "log.txt"
    _command(log, "tfrecords_tools.demo", *flags, f"--seed={seed}", f"--distractors={distractors}")
    flags = [f"--videos={made / 'videos/videos'}", f"--splits={made / 'videos/ucfTrainTestlist'}"]
    flags += ["--dataset=ucf101", "--split=1", "--val_share=0.1", f"--short_side={_SIZE}"]
    if not (records / "manifest.json").exists():
        _command(log, "tfrecords_tools.build", *flags, "--shards=4", f"--output={records}")
    return records


def _train(work: Path, directory: Path, data: Path, flags: list[str], core: int | None) -> None:
    """Trains and tests, unless done before."""
    record = directory / RECORD
    command = ["rlstm_tf.train", "--flagfile=configs/relations.cfg", *flags]
    # The path of --work is of no use on other machines.
    recorded = " ".join(command).replace(f"{work}/", "")
    if record.exists():
        done = json.loads(record.read_text(encoding="utf-8"))["command"]
        if done != recorded:
            raise DataError(f"{directory} was made by {done}: delete it, or give another --work")
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    log = directory.with_suffix(".log")
    # The commit at the start: there may be another at the end.
    facts = {"command": recorded, "commit": commit(), "machine": describe()}
    _command(log, *command, f"--data={data}", f"--run_dir={directory}", "--resume", core=core)
    _command(log, "rlstm_tf.evaluate", f"--run_dir={directory}", "--split=test", core=core)
    write_atomic(record, json.dumps(facts).encode())


def _command(log: Path, module: str, *flags: str, core: int | None = None) -> None:
    """Runs one of the project's commands, and appends its output to a file."""
    environment = dict(os.environ)
    if core is not None:
        # Affinity is that of this thread, and inherited by its processes.
        os.sched_setaffinity(0, {core})
        environment.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    with log.open("ab") as file:
        command = [sys.executable, "-m", module, *flags]
        status = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if status:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise DataError(f"{module} ended with status {status}: {' '.join(last)} ({log})")

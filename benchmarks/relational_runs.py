"""Trains and scores the networks of the relational benchmark, each once."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import relational_data as data
from benchmarks import trainings
from benchmarks.machine import describe
from benchmarks.relational_data import Size
from benchmarks.settings import Setting
from rlstm_tf.cli import flags
from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import score_files
from rlstm_tf.storage.atomic import writing

CONFIG = "configs/relations.cfg"
# Norm of a step's gradients, and share of the steps in which the rate rises: of all networks.
CLIP_NORM = 5.0
WARMUP = 0.05
_TRUNK_RATE = 0.01


@dataclass(frozen=True)
class Study:
    """What all trainings of a benchmark share.

    Attributes:
        work: directory of videos, shards and runs.
        scenes: kind of scenes.
        size: numbers of videos and epochs.
        workers: trainings at a time, each on one core; None = one per core.
        machine: what it runs on. Threads that train see a single core.
    """

    work: Path
    scenes: str
    size: Size
    workers: int | None = None
    machine: str = field(default_factory=describe)


@dataclass(frozen=True)
class Run:
    """One training of a setting.

    Attributes:
        setting, rate, seed: what is trained.
        trial: whether it is a trial of the learning rate, which has fewer epochs.
    """

    setting: Setting
    rate: float
    seed: int
    trial: bool = False

    def directory(self, work: Path) -> Path:
        """Returns the directory of the run."""
        kind = "trials" if self.trial else "runs"
        return work / kind / f"{self.setting.name}_{self.rate:g}_{self.seed}"


@functools.cache
def cost(setting: Setting, num_classes: int) -> tuple[int, int]:
    """Returns the parameters of a network, and its multiply-adds for one video."""
    import keras

    from rlstm_tf.model_config import ModelConfig
    from rlstm_tf.models import build_model
    from rlstm_tf.models.cost import multiply_adds

    values = flags.parse_flagfiles(CONFIG)
    values(["train", f"--flagfile={CONFIG}", *setting.flags])
    network = build_model(ModelConfig.from_flags(values), num_classes)
    found = network.count_params(), multiply_adds(network)
    keras.backend.clear_session()
    return found


def command_of(study: Study, run: Run) -> str:
    """Returns the command of a training, with paths relative to the benchmark's directory."""
    return shlex.join(["rlstm_tf.train", f"--flagfile={CONFIG}", *_flags(study, run)])


def schedule(study: Study, trial: bool = False) -> list[str]:
    """Returns the flags of epochs, warm-up and clipping that all trials share, or all others."""
    epochs = study.size.search_epochs if trial else study.size.epochs
    return _schedule(study.size.videos, epochs)


def train_all(
    study: Study, runs: Sequence[Run], subset: str, finish: Callable[[Run, dict[str, Any]], None]
) -> None:
    """Makes videos, shards and trunks that do not exist yet; trains and scores all runs.

    Args:
        study: what the runs share.
        runs: runs to train and score.
        subset: what to score: `validation`, the videos that learning rates are chosen on, or
            `test`. The scores are in evaluation/SUBSET of a run's directory.
        finish: called with each run that ends, and its `command`, `commit`, `machine` and
            `diverged`, in the order of their ends.

    Raises:
        DataError: a command failed; names its log.
    """
    if not runs:
        return
    with writing(study.work):
        study.work.mkdir(parents=True, exist_ok=True)
    data.make_trunk_data(study.work, study.scenes, study.size)
    for distractors in sorted({run.setting.distractors for run in runs}):
        data.make_data(study.work, study.scenes, study.size, distractors)
    if subset == "validation":
        data.make_validation_data(study.work, study.scenes, study.size)
    with trainings.Cores(study.workers) as cores:
        seeds = sorted({run.seed for run in runs})
        for trunk in [cores.submit(_train_trunk, study, seed) for seed in seeds]:
            trunk.result()
        jobs = {cores.submit(_train_and_score, study, run, subset): run for run in runs}
        with progress_bar(len(runs), f"{study.scenes}, {subset}", "networks") as progress:
            for job in as_completed(jobs):
                finish(jobs[job], job.result())
                progress.update()


def _train_trunk(study: Study, seed: int, core: int | None) -> None:
    """Trains the TSN that gives all networks of a seed their trunk."""
    flags = ["--model=tsn", f"--learning_rate={_TRUNK_RATE:g}", f"--seed={seed}"]
    flags += _schedule(study.size.trunk_videos, study.size.trunk_epochs)
    shards = study.work / "data" / "trunk" / "records"
    directory = study.work / "runs" / f"trunk_{seed}"
    if _train(study, directory, shards, flags, core)["diverged"]:
        raise DataError(f"the trunk of seed {seed} diverged: {trainings.log_of(directory)}")


def _train_and_score(study: Study, run: Run, subset: str, core: int | None) -> dict[str, Any]:
    directory, name = run.directory(study.work), f"distractors_{run.setting.distractors}"
    shards = study.work / "data" / name / "records"
    record = _train(study, directory, shards, _flags(study, run), core)
    output = directory / "evaluation" / subset
    if not record["diverged"] and not (output / score_files.METRICS).exists():
        command = ["rlstm_tf.evaluate", f"--run_dir={directory}", f"--output={output}"]
        if subset == "validation":
            shards = study.work / "data" / "validation" / "records"
            command += [f"--data={shards}", "--split=train"]
        trainings.run_command(trainings.log_of(directory), *command, core=core)
    return record


def _flags(study: Study, run: Run) -> list[str]:
    flags = [*run.setting.flags, f"--learning_rate={run.rate:g}", f"--seed={run.seed}"]
    return [*flags, *schedule(study, run.trial), f"--init_from=runs/trunk_{run.seed}"]


def _schedule(videos: int, epochs: int) -> list[str]:
    steps = epochs * videos * data.TRAINING_SHARE / flags.parse_flagfiles(CONFIG).batch_size
    return [
        f"--epochs={epochs}",
        f"--drop_epochs={max(1, 3 * epochs // 4)}",
        f"--warmup_steps={round(WARMUP * steps)}",
        f"--clip_norm={CLIP_NORM:g}",
    ]


def _train(
    study: Study, directory: Path, shards: Path, flags: list[str], core: int | None
) -> dict[str, Any]:
    """Trains, unless done before; returns the content of `trainings.RECORD`."""
    trunks = [flag for flag in flags if flag.startswith("--init_from=")]
    places = [flag.replace("=", f"={study.work}/", 1) for flag in trunks] + [f"--data={shards}"]
    command = [f"--flagfile={CONFIG}", *flags]
    return trainings.train(directory, command, places, study.machine, core)

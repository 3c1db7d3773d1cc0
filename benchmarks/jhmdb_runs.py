"""What the J-HMDB benchmark trains, scores and fuses, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import jhmdb_untested, trainings
from benchmarks.machine import describe
from benchmarks.settings import WINNING_OPTIONS
from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.evaluation import fusion, score_files
from rlstm_tf.storage.atomic import writing

CONFIG = "configs/jhmdb.cfg"
# Name in the tables -> flags of its training, after those of the configuration.
NETWORKS: dict[str, tuple[str, ...]] = {
    name: (f"--model={name}",)
    for name in ("tsn", "local", "lstm", "convlstm", "rlstm", "two_branch")
}
# The best of the relational benchmark (docs/relations.md).
NETWORKS["both_ways"] = ("--model=two_branch", *WINNING_OPTIONS, "--bidirectional")
# Share of the clips that no split tests; trials are compared on it.
HELD_OUT = 0.3
SEARCH_SPLIT, SEARCH_SEED = 1, 0


class Stream(NamedTuple):
    """What a network sees.

    Attributes:
        build: flags of `tfrecords_tools.build`.
        train: flags of a training.
        like: stream whose trials it takes; empty: it has its own.
    """

    build: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    like: str = ""


_FLOW = ("--stream=temporal",)
STREAMS = {
    "rgb": Stream(),
    "dis": Stream((*_FLOW, "--flow=dis"), _FLOW),
    # Its flow takes 30 times as long; at full size it would take 100 times.
    "tvl1_half": Stream((*_FLOW, "--flow=tvl1_half"), _FLOW, like="dis"),
}


class Trial(NamedTuple):
    """Settings to choose from, the same for each network."""

    learning_rate: float


# In this order, the first of equally good ones is chosen.
TRIALS = tuple(map(Trial, (0.003, 0.01, 0.03, 0.1)))


class Size(NamedTuple):
    """How much is trained.

    Attributes:
        epochs: of each training, trials too.
        trials: what each network is tried with.
        build: flags of all builds.
        train: flags of all trainings, after those of the network.
    """

    epochs: int
    trials: tuple[Trial, ...]
    build: tuple[str, ...] = ()
    train: tuple[str, ...] = ()


WHOLE = Size(8, TRIALS)
# A few clips are enough, and no weights.
QUICK = Size(
    1,
    TRIALS[:1],
    build=("--allow_missing", "--short_side=36", "--shards=1"),
    train=(
        *("--backbone=tiny_resnetv2", "--cut=conv5_block1_out", "--weights=none"),
        *("--image_size=32", "--num_segments=2", "--batch_size=4", "--precision=float32"),
    ),
)


@dataclass(frozen=True)
class Study:
    """What all trainings share.

    Attributes:
        videos: directory with a folder of clips per class.
        splits: directory of the split files.
        work: directory of shards and runs.
        size: how much is trained.
        workers: trainings at a time, each on one core; None = one per core.
        machine: what it runs on.
    """

    videos: str
    splits: str
    work: Path
    size: Size
    workers: int | None = None
    machine: str = field(default_factory=describe)


class Run(NamedTuple):
    """One training.

    Attributes:
        network, stream, split, seed, trial: what is trained.
        search: it is trained on a part of the clips that no split tests, and scored on the rest.
    """

    network: str
    stream: str
    split: int
    seed: int
    trial: Trial
    search: bool = False

    @property
    def subset(self) -> str:
        """Subset of the shards that it is scored on."""
        return "val" if self.search else "test"

    @property
    def records(self) -> str:
        """Name of its shards."""
        return f"{self.stream}_search" if self.search else f"{self.stream}_split{self.split}"

    def directory(self, work: Path) -> Path:
        """Returns the directory of the run."""
        settings = "_".join(f"{value:g}" for value in self.trial)
        name = f"{self.network}_{self.stream}_split{self.split}_{settings}_seed{self.seed}"
        return work / ("trials" if self.search else "runs") / name

    def scores(self, work: Path) -> Path:
        """Returns the directory of its scores."""
        return self.directory(work) / "evaluation" / self.subset


def command_of(study: Study, run: Run) -> str:
    """Returns the command of a training, without paths."""
    return " ".join(["rlstm_tf.train", *_flags(study, run)])


def _flags(study: Study, run: Run) -> list[str]:
    return [
        f"--flagfile={CONFIG}",
        *NETWORKS[run.network],
        *STREAMS[run.stream].train,
        *(f"--{name}={value:g}" for name, value in run.trial._asdict().items()),
        f"--epochs={study.size.epochs}",
        f"--seed={run.seed}",
        *study.size.train,
    ]


def train_all(
    study: Study, runs: Sequence[Run], finish: Callable[[Run, dict[str, Any]], None]
) -> None:
    """Builds shards that do not exist yet; trains and scores all runs.

    Args:
        study: what the runs share.
        runs: runs to train and score.
        finish: called with each run that ends, and its `trainings.RECORD`, in the order of ends.

    Raises:
        DataError: a command failed; names its log.
    """
    if not runs:
        return
    firsts: dict[str, Run] = {}
    for run in runs:
        firsts.setdefault(run.records, run)
    for run in firsts.values():
        _build(study, run)
    what = "trials" if runs[0].search else "trainings"
    progress = progress_bar(len(runs), f"J-HMDB, {what}", "networks")
    with progress, trainings.Cores(study.workers) as cores:
        # The others would wait for the maps of their trunk, which the first ones cache.
        others = [run for run in runs if run not in firsts.values()]
        for group in (firsts.values(), others):
            jobs = {cores.submit(_train_and_score, study, run): run for run in group}
            for job in as_completed(jobs):
                finish(jobs[job], job.result())
                progress.update()


def _build(study: Study, run: Run) -> None:
    """Builds the shards of a run, or checks that they are complete."""
    data = study.work / "data"
    with writing(data):
        data.mkdir(parents=True, exist_ok=True)
    flags = [f"--videos={study.videos}", f"--split={run.split}", f"--output={data / run.records}"]
    flags += [*STREAMS[run.stream].build, *study.size.build]
    if run.search:
        lists = data / "untested"
        jhmdb_untested.write_lists(study.videos, study.splits, lists)
        # Any lists in this format; those of J-HMDB are checked to be the official ones.
        flags += ["--dataset=hmdb51", f"--splits={lists}", f"--val_share={HELD_OUT:g}"]
    else:
        flags += ["--dataset=jhmdb", f"--splits={study.splits}"]
        built = sorted(data.glob(f"{run.stream}_split*/manifest.json"))
        if built and built[0].parent.name != run.records:
            flags.append(f"--reuse={built[0].parent}")
    trainings.run_command(data / f"{run.records}.log", "tfrecords_tools.build", *flags)


def _train_and_score(study: Study, run: Run, core: int | None) -> dict[str, Any]:
    directory = run.directory(study.work)
    places = [f"--data={study.work / 'data' / run.records}"]
    record = trainings.train(directory, _flags(study, run), places, study.machine, core)
    scores = run.scores(study.work)
    if not record["diverged"] and not (scores / score_files.METRICS).exists():
        command = ("rlstm_tf.evaluate", f"--run_dir={directory}", f"--split={run.subset}")
        log = trainings.log_of(directory)
        trainings.run_command(log, *command, f"--output={scores}", core=core)
    return record


def fusion_weights(study: Study, rgb: Run, flow: Run) -> tuple[float, ...]:
    """Returns the weights of two streams that are best on the scores of two trials.

    Raises:
        DataError: the scores are missing or damaged.
    """
    places = [run.scores(study.work) for run in (rgb, flow)]
    return fusion.search_weights([score_files.load(p)[0] for p in places], [*map(str, places)])


def fuse(study: Study, rgb: Run, flow: Run, weights: Sequence[float]) -> Path:
    """Fuses the test scores of two trained streams; returns the directory of the result.

    Raises:
        DataError: the command failed; names its log.
    """
    name = f"{rgb.network}_{rgb.stream}+{flow.stream}_split{rgb.split}_seed{rgb.seed}"
    output = study.work / "fused" / name
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    scores = ",".join(str(run.scores(study.work)) for run in (rgb, flow))
    command = (*fuse_command(weights).split(), f"--scores={scores}", f"--output={output}")
    trainings.run_command(trainings.log_of(output), *command)
    return output


def fuse_command(weights: Sequence[float]) -> str:
    """Returns the command of a fusion, without paths."""
    return "rlstm_tf.fuse --weights=" + ",".join(f"{weight:g}" for weight in weights)

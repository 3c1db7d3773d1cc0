"""All runs behind the paper's tables, and the commands from videos to report.

Source: arXiv 1811.07059, tables 2 - 8. The two recurrent peers are ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Names of runs: the paper's two-branch network, and files in configs/ablations.
MAIN = "two_branch"
TABLES_2_TO_5 = (
    MAIN,
    "tsn",
    "rlstm",
    "local",
    *(f"segments_{count}" for count in (6, 10, 12)),
    *("after_conv5_1", "after_conv5_3"),
    *("lstm", "convlstm"),
)
# Runs of the table of three splits; the temporal stream of R-LSTM starts from that of TSN.
THREE_SPLITS = (MAIN, "tsn", "rlstm")
STREAMS = ("spatial", "temporal")

# Training videos or intervals, and test videos, by data set and split.
SIZES = {
    ("ucf101", 1): (9537, 3783),
    ("ucf101", 2): (9586, 3734),
    ("ucf101", 3): (9624, 3696),
    ("hmdb51", 1): (3570, 1530),
    ("hmdb51", 2): (3570, 1530),
    ("hmdb51", 3): (3570, 1530),
    ("charades", 0): (49802, 1863),
}
_BATCH = 24
_EPOCHS = {"spatial": 50, "temporal": 60}
# Views of a test video: 4 groups x 5 crops; 10 clips.
_VIEWS = {"ucf101": 20, "hmdb51": 20, "charades": 10}


@dataclass(frozen=True)
class PaperPaths:
    """Paths and options of the commands.

    Attributes:
        videos: directory of the videos by data set.
        splits: directory of the split files by data set.
        data: directory for the shards.
        runs: directory for the runs.
        flow: method of the optical flow.
        short_side: short side of the stored frames, pixels.
        overrides: directory with a flag file for each stream that follows the paper's; none if
            empty.
    """

    videos: dict[str, str]
    splits: dict[str, str]
    data: str
    runs: str
    flow: str = "tvl1"
    short_side: int = 256
    overrides: str = ""


PAPER = PaperPaths(
    videos={"ucf101": "UCF-101", "hmdb51": "hmdb51_org", "charades": "Charades_v1_480"},
    splits={
        "ucf101": "ucfTrainTestlist",
        "hmdb51": "testTrainMulti_7030_splits",
        "charades": "Charades",
    },
    data="data",
    runs="runs/paper",
)
DEMO = PaperPaths(
    videos={
        "ucf101": "data/paper_demo/ucf101/videos",
        "hmdb51": "data/paper_demo/hmdb51/videos",
        "charades": "data/paper_demo/charades/Charades_v1_480",
    },
    splits={name: f"data/paper_demo/{name}/{folder}" for name, folder in PAPER.splits.items()},
    data="data/paper_demo/records",
    runs="runs/paper_demo",
    flow="dis",
    short_side=64,
    overrides="configs/paper_demo",
)


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        dataset: `ucf101`, `hmdb51` or `charades`.
        split: number of the split; 0 for Charades.
        name: `MAIN`, or a file in configs/ablations.
        stream: `spatial` or `temporal`.
    """

    dataset: str
    split: int
    name: str
    stream: str

    @property
    def starts_from(self) -> Run | None:
        """Run whose weights this one starts from; None = those of ImageNet."""
        if self.stream == "spatial":
            return None
        if self.name == "rlstm":
            return Run(self.dataset, self.split, "tsn", "temporal")
        return Run(self.dataset, self.split, self.name, "spatial")

    @property
    def steps(self) -> int:
        """Optimizer steps of the training."""
        return _EPOCHS[self.stream] * (SIZES[self.dataset, self.split][0] // _BATCH)

    def hours(self, seconds_per_video: float) -> tuple[float, float]:
        """Estimates the hours of training and of testing.

        Args:
            seconds_per_video: time of a training step for one video. Testing a view takes a third
                of it: forward without backward.
        """
        tested = SIZES[self.dataset, self.split][1] * _VIEWS[self.dataset]
        return (
            self.steps * _BATCH * seconds_per_video / 3600,
            tested * seconds_per_video / 3 / 3600,
        )


def runs() -> Iterator[Run]:
    """Yields all runs, each after the one that it starts from."""
    for name in TABLES_2_TO_5:
        yield from (Run("ucf101", 1, name, stream) for stream in STREAMS)
    for split in (2, 3):
        for name in THREE_SPLITS:
            yield from (Run("ucf101", split, name, stream) for stream in STREAMS)
    for split in (1, 2, 3):
        yield from (Run("hmdb51", split, MAIN, stream) for stream in STREAMS)
    yield from (Run("charades", 0, name, "spatial") for name in (MAIN, "tsn"))


def build_commands(paths: PaperPaths) -> Iterator[str]:
    """Yields a build for each data set, split and stream; later splits reuse decoded videos."""
    for dataset, split in SIZES:
        for stream in STREAMS if dataset != "charades" else ("spatial",):
            earlier = [_data(paths, dataset, other, stream) for other in range(1, split)]
            arguments = [
                f"--dataset={dataset}",
                f"--videos={paths.videos[dataset]}",
                f"--splits={paths.splits[dataset]}",
                *([f"--split={split}"] if split else []),
                f"--short_side={paths.short_side}",
                *(["--stream=temporal", f"--flow={paths.flow}"] if stream == "temporal" else []),
                *([f"--reuse={','.join(earlier)}"] if earlier else []),
                f"--output={_data(paths, dataset, split, stream)}",
            ]
            yield _command("tfrecords_tools.build", arguments)


def run_commands(paths: PaperPaths, run: Run) -> Iterator[str]:
    """Yields training and test of a run."""
    directory = _directory(paths, run)
    files = [f"configs/{run.dataset}_{run.stream}.cfg"]
    if run.name != MAIN:
        files.append(f"configs/ablations/{run.name}.cfg")
    if paths.overrides:
        files.append(f"{paths.overrides}/{run.stream}.cfg")
    arguments = [f"--flagfile={file}" for file in files]
    arguments.append(f"--data={_data(paths, run.dataset, run.split, run.stream)}")
    if run.starts_from:
        arguments.append(f"--init_from={_directory(paths, run.starts_from)}")
    yield _command("rlstm_tf.train", [*arguments, f"--run_dir={directory}", "--resume"])
    arguments = [f"--run_dir={directory}", "--protocol=paper"]
    done = f"test -f {shlex.quote(_scores(paths, run))}/metrics.json || "
    yield done + _command("rlstm_tf.evaluate", arguments)


def fuse_commands(paths: PaperPaths) -> Iterator[str]:
    """Yields the fusion of both streams of every run, and the ensemble of table 2."""
    both = dict.fromkeys(
        (run.dataset, run.split, run.name) for run in runs() if run.dataset != "charades"
    )
    for dataset, split, name in both:
        parts = [_scores(paths, Run(dataset, split, name, stream)) for stream in STREAMS]
        preset = name if name in ("rlstm", "tsn") else dataset
        yield _fuse(paths, f"{dataset}_{split}/{name}/two_stream", parts, f"--preset={preset}")
    for stream in (*STREAMS, "two_stream"):
        parts = [
            f"{paths.runs}/ucf101_1/{name}/two_stream"
            if stream == "two_stream"
            else _scores(paths, Run("ucf101", 1, name, stream))
            for name in ("tsn", "rlstm")
        ]
        yield _fuse(paths, f"ucf101_1/tsn+rlstm/{stream}", parts, "--weights=0.5,0.5")


def report_command(paths: PaperPaths) -> str:
    """Returns the command for tables, figures and the page."""
    return _command("rlstm_tf.report", [f"--runs={paths.runs}", f"--output={paths.runs}_report"])


def _fuse(paths: PaperPaths, name: str, parts: Sequence[str], weights: str) -> str:
    arguments = [f"--scores={','.join(parts)}", weights, f"--output={paths.runs}/{name}"]
    return _command("rlstm_tf.fuse", arguments)


def _command(module: str, arguments: Sequence[str]) -> str:
    return " \\\n  ".join([f"python -m {module}", *map(shlex.quote, arguments)])


def _data(paths: PaperPaths, dataset: str, split: int, stream: str) -> str:
    return f"{paths.data}/{dataset}_{split}/{stream}"


def _directory(paths: PaperPaths, run: Run) -> str:
    return f"{paths.runs}/{run.dataset}_{run.split}/{run.name}/{run.stream}"


def _scores(paths: PaperPaths, run: Run) -> str:
    return _directory(paths, run) + "/evaluation/test"

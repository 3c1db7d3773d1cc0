"""Every run behind the paper's tables, and the commands that make it, from videos to report.

Source: arXiv 1811.07059, tables 2 - 8. The two recurrent peers are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Names of runs: the two-branch network as the paper has it, and files of configs/ablations.
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
# What the table of three splits needs; R-LSTM's temporal stream starts from TSN's.
THREE_SPLITS = (MAIN, "tsn", "rlstm")
STREAMS = ("spatial", "temporal")

# Videos or intervals to train on, and videos to test, by data set and split.
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
class Places:
    """Where things are.

    Attributes:
        videos: directory of each data set's videos.
        splits: of its split files.
        data: of the shards to be made.
        runs: of the runs to be made.
        flow: method of the optical flow.
        short_side: pixels of the stored frames.
        overrides: directory of a flag file for each stream, after those of the paper.
        protocol: of `evaluate`.
    """

    videos: dict[str, str]
    splits: dict[str, str]
    data: str
    runs: str
    flow: str = "tvl1"
    short_side: int = 256
    overrides: str = ""
    protocol: str = "paper"


PAPER = Places(
    videos={"ucf101": "UCF-101", "hmdb51": "hmdb51_org", "charades": "Charades_v1_480"},
    splits={
        "ucf101": "ucfTrainTestlist",
        "hmdb51": "testTrainMulti_7030_splits",
        "charades": "Charades",
    },
    data="data",
    runs="runs/paper",
)
DEMO = Places(
    videos={
        "ucf101": "data/paper_demo/ucf101/videos",
        "hmdb51": "data/paper_demo/hmdb51/videos",
        "charades": "data/paper_demo/charades/Charades_v1_480",
    },
    splits={
        "ucf101": "data/paper_demo/ucf101/ucfTrainTestlist",
        "hmdb51": "data/paper_demo/hmdb51/testTrainMulti_7030_splits",
        "charades": "data/paper_demo/charades/Charades",
    },
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
        split: of the data set; 0 for Charades.
        name: `MAIN`, or a file of configs/ablations.
        stream: `spatial` or `temporal`.
    """

    dataset: str
    split: int
    name: str
    stream: str

    @property
    def starts_from(self) -> Run | None:
        """The run whose weights this one starts from; None = ImageNet's."""
        if self.stream == "spatial":
            return None
        if self.name == "rlstm":
            return Run(self.dataset, self.split, "tsn", "temporal")
        return Run(self.dataset, self.split, self.name, "spatial")

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return _EPOCHS[self.stream] * (SIZES[self.dataset, self.split][0] // _BATCH)

    def hours(self, seconds_per_video: float) -> tuple[float, float]:
        """Of training and of testing, by the time that one video takes to train on.

        A view is tested in a third of the time of a training step: forward without backward.
        """
        tested = SIZES[self.dataset, self.split][1] * _VIEWS[self.dataset]
        return (
            self.steps * _BATCH * seconds_per_video / 3600,
            tested * seconds_per_video / 3 / 3600,
        )


def runs() -> Iterator[Run]:
    """All of them, each after the one that it starts from."""
    for name in TABLES_2_TO_5:
        yield from (Run("ucf101", 1, name, stream) for stream in STREAMS)
    for split in (2, 3):
        for name in THREE_SPLITS:
            yield from (Run("ucf101", split, name, stream) for stream in STREAMS)
    for split in (1, 2, 3):
        yield from (Run("hmdb51", split, MAIN, stream) for stream in STREAMS)
    yield from (Run("charades", 0, name, "spatial") for name in (MAIN, "tsn"))


def build_commands(places: Places) -> Iterator[str]:
    """From videos to shards, by data set, split and stream; no video is decoded for two splits."""
    for dataset, split in SIZES:
        for stream in STREAMS if dataset != "charades" else ("spatial",):
            arguments = [
                f"--dataset={dataset}",
                f"--videos={places.videos[dataset]}",
                f"--splits={places.splits[dataset]}",
                *([f"--split={split}"] if split else []),
                f"--short_side={places.short_side}",
                *(["--stream=temporal", f"--flow={places.flow}"] if stream == "temporal" else []),
                *_reused(places, dataset, split, stream),
                f"--output={_data(places, dataset, split, stream)}",
            ]
            yield _command("tfrecords_tools.build", arguments)


def run_commands(places: Places, run: Run) -> Iterator[str]:
    """Training and test of a run."""
    directory = _directory(places, run)
    files = [f"configs/{run.dataset}_{run.stream}.cfg"]
    if run.name != MAIN:
        files.append(f"configs/ablations/{run.name}.cfg")
    if places.overrides:
        files.append(f"{places.overrides}/{run.stream}.cfg")
    arguments = [f"--flagfile={file}" for file in files]
    arguments.append(f"--data={_data(places, run.dataset, run.split, run.stream)}")
    if run.starts_from:
        arguments.append(f"--init_from={_directory(places, run.starts_from)}")
    yield _command("rlstm_tf.train", [*arguments, f"--run_dir={directory}", "--resume"])
    arguments = [f"--run_dir={directory}", f"--protocol={places.protocol}"]
    done = f"test -f {_scores(places, run)}/metrics.json || "
    yield done + _command("rlstm_tf.evaluate", arguments)


def fuse_commands(places: Places) -> Iterator[str]:
    """Both streams of every run, and the ensemble of table 2."""
    both = dict.fromkeys(
        (run.dataset, run.split, run.name) for run in runs() if run.dataset != "charades"
    )
    for dataset, split, name in both:
        parts = [_scores(places, Run(dataset, split, name, stream)) for stream in STREAMS]
        preset = name if name in ("rlstm", "tsn") else dataset
        yield _fuse(places, f"{dataset}_{split}/{name}/two_stream", parts, f"--preset={preset}")
    for stream in (*STREAMS, "two_stream"):
        parts = [
            f"{places.runs}/ucf101_1/{name}/two_stream"
            if stream == "two_stream"
            else _scores(places, Run("ucf101", 1, name, stream))
            for name in ("tsn", "rlstm")
        ]
        yield _fuse(places, f"ucf101_1/tsn+rlstm/{stream}", parts, "--weights=0.5,0.5")


def report_command(places: Places) -> str:
    """Tables, figures and the page."""
    return _command("rlstm_tf.report", [f"--runs={places.runs}", f"--output={places.runs}_report"])


def _reused(places: Places, dataset: str, split: int, stream: str) -> list[str]:
    before = [_data(places, dataset, other, stream) for other in range(1, split)]
    return [f"--reuse={','.join(before)}"] if before else []


def _fuse(places: Places, name: str, parts: Sequence[str], weights: str) -> str:
    arguments = [f"--scores={','.join(parts)}", weights, f"--output={places.runs}/{name}"]
    return _command("rlstm_tf.fuse", arguments)


def _command(module: str, arguments: Sequence[str]) -> str:
    return " \\\n  ".join([f"python -m {module}", *arguments])


def _data(places: Places, dataset: str, split: int, stream: str) -> str:
    return f"{places.data}/{dataset}_{split}/{stream}"


def _directory(places: Places, run: Run) -> str:
    return f"{places.runs}/{run.dataset}_{run.split}/{run.name}/{run.stream}"


def _scores(places: Places, run: Run) -> str:
    return _directory(places, run) + "/evaluation/test"

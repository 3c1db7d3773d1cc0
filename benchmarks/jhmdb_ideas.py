"""Tries ideas for the two-branch network on the clips of J-HMDB that no split tests.

   python -m benchmarks.jhmdb_ideas --videos=JHMDB/videos --splits=JHMDB/splits
   python -m benchmarks.jhmdb_ideas --only=tsn,two_branch,ema --draws=0 ...  # a portion, same rows

Each idea is `two_branch` with a few other flags. It is trained, with seed 0, on 70 % of the 364
clips, and scored on the rest; which clips these are is drawn up to three times, whole films
together. The same command resumes; what has a row in --output is not trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks.machine import describe, print_heading
from benchmarks.portions import parse_names
from benchmarks.settings import WINNING_OPTIONS
from rlstm_tf.cli import app
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_path
from rlstm_tf.cli.terminal import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.row_files import RowFile

CONFIG = "configs/jhmdb.cfg"
_TWO_BRANCH = ("--model=two_branch", "--learning_rate=0.03")
# Those that the others are measured by, at the rates of docs/jhmdb.md.
REFERENCES = {
    "tsn": ("--model=tsn", "--learning_rate=0.1"),
    "local": ("--model=local", "--learning_rate=0.03"),
    "lstm": ("--model=lstm", "--learning_rate=0.01"),
    "two_branch": _TWO_BRANCH,
}
# Flags after those of `_TWO_BRANCH`.
IDEAS: dict[str, tuple[str, ...]] = {
    "dropout_0.8": ("--dropout=0.8",),
    "decay_0.005": ("--weight_decay=0.005",),
    "label_smoothing": ("--label_smoothing=0.1",),
    "mixup": ("--mixup=0.2",),
    "ema": ("--ema_momentum=0.95",),
    "adamw": ("--optimizer=adamw", "--learning_rate=0.001", "--weight_decay=0.05"),
    "batch_statistics": ("--batch_norm=batch", "--batch_norm_momentum=0.9"),
    "units_32": ("--units=32", "--attention_scale=0.18"),
    "snippets_16": ("--num_segments=16",),
    "epochs_16": ("--epochs=16",),
    "both_ways": (*WINNING_OPTIONS, "--bidirectional"),
    "tail_rate_0.1": ("--pretrained_factor=0.1",),
    "tail_rate_0.01": ("--pretrained_factor=0.01",),
}
# Not 0: the rates were chosen on that one.
_DRAWS = ("1", "2", "3")
_OUTPUT = "benchmarks/results/jhmdb_ideas.csv"
_KEY = ["idea", "draw"]
_USAGE = ["seconds", "cpu_seconds", "gigabytes"]


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("videos", None, "Directory with one folder of clips per class.", **own)
    define_path("splits", None, "Directory of the split files.", **own)
    flags.DEFINE_list("only", [], "Names of ideas; all if empty.", **own)
    flags.DEFINE_list("draws", [], "Numbers of draws; all if empty.", **own)
    define_path("work", "runs/jhmdb_ideas", "Directory of shards and runs.", **own)
    define_path("output", _OUTPUT, "CSV file.", **own)


def main(values: flags.FlagValues) -> None:
    """Makes shards and runs that do not exist, writes and prints the results."""
    require(values, "videos", "splits")
    ideas = parse_names("only", values.only, [*REFERENCES, *IDEAS])
    draws = parse_names("draws", values.draws, _DRAWS)
    from benchmarks.row_files import ORIGIN, RowFile

    print_heading("jhmdb_ideas")
    columns = [*_KEY, "right", "clips", *_USAGE, *ORIGIN]
    rows = RowFile(Path(values.output), columns, _KEY)
    new = [
        (idea, draw)
        for draw in draws
        for idea in ideas
        if not rows.has({"idea": idea, "draw": draw}, " ".join(["rlstm_tf.train", *flags_of(idea)]))
    ]
    work = Path(values.work)
    for draw in dict.fromkeys(draw for _, draw in new):
        _build(values.videos, values.splits, work, draw)
    run_all(work, new, rows)
    print(to_markdown(rows.read()), flush=True)


def flags_of(idea: str) -> list[str]:
    """Returns the flags of a training."""
    chosen = REFERENCES.get(idea) or (*_TWO_BRANCH, *IDEAS[idea])
    epochs = [] if any(it.startswith("--epochs") for it in chosen) else ["--epochs=8"]
    return [f"--flagfile={CONFIG}", *chosen, "--seed=0", *epochs]


def run_all(work: Path, new: Sequence[tuple[str, str]], rows: RowFile) -> None:
    """Trains and scores ideas, each on one core, and writes their rows as they come.

    Args:
        work: directory of shards and runs.
        new: idea and draw of each training.
        rows: where the rows go.

    Raises:
        DataError: a command failed; names its log.
    """
    import pandas as pd

    from benchmarks import trainings

    with progress_bar(len(new), "ideas", "trainings") as progress, trainings.Cores(None) as cores:
        jobs = {cores.submit(_score, work, *key): key for key in new}
        for job in as_completed(jobs):
            rows.write(pd.DataFrame([{**dict(zip(_KEY, jobs[job])), **job.result()}]))
            progress.update()


def _records(work: Path, draw: str) -> Path:
    return work / "data" / f"draw{draw}"


def _build(videos: str, splits: str, work: Path, draw: str) -> None:
    """Builds the shards of a draw, or checks that they are complete."""
    from benchmarks import jhmdb_untested, trainings
    from benchmarks.jhmdb_runs import HELD_OUT

    lists = work / "data" / "untested"
    jhmdb_untested.write_lists(videos, splits, lists)
    trainings.run_command(
        *(work / "data" / f"draw{draw}.log", "tfrecords_tools.build"),
        *(f"--videos={videos}", f"--splits={lists}", "--split=1", "--dataset=hmdb51"),
        *(f"--val_share={HELD_OUT:g}", f"--val_seed={draw}", f"--output={_records(work, draw)}"),
    )


def _score(work: Path, idea: str, draw: str, core: int | None) -> dict[str, Any]:
    from benchmarks import trainings
    from rlstm_tf.evaluation import score_files

    run = work / "runs" / f"{idea}_draw{draw}"
    places = [f"--data={_records(work, draw)}"]
    record = trainings.train(run, flags_of(idea), places, describe(), core)
    record.update({name: f"{record[name]:.2f}" for name in _USAGE})
    if record["diverged"]:
        return record
    scores = run / "evaluation" / "val"
    if not (scores / score_files.METRICS).exists():
        command = ("rlstm_tf.evaluate", f"--run_dir={run}", "--split=val", f"--output={scores}")
        trainings.run_command(trainings.log_of(run), *command, core=core)
    found, _ = score_files.load(scores)
    right = int((found.logits.argmax(-1) == found.labels).sum())
    return {**record, "right": right, "clips": len(found.labels)}


def to_markdown(rows: pd.DataFrame) -> str:
    """Formats the table of accuracies, percent.

    Args:
        rows: texts, as in the file.

    Returns:
        Markdown: a column for each draw, their mean, and the mean and deviation (of the sample) of
        what an idea gains over `two_branch` on the same draws.
    """
    import pandas as pd

    numbers = rows[["right", "clips", "cpu_seconds"]].apply(pd.to_numeric, errors="coerce")
    rows = rows.assign(percent=100 * numbers["right"] / numbers["clips"], **numbers)
    table = rows.pivot(index="idea", columns="draw", values="percent")
    table = table.reindex([it for it in (*REFERENCES, *IDEAS) if it in table.index])
    gains = table - table.loc["two_branch"] if "two_branch" in table.index else table * float("nan")
    seconds = rows.groupby("idea")["cpu_seconds"].median()
    head = ["idea", *(f"draw {draw}" for draw in table), "mean", "gain", "processor seconds"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for idea, cells in table.iterrows():
        gain = f"{gains.loc[idea].mean():+.1f} ± {gains.loc[idea].std():.1f}"
        values = [f"{cell:.1f}" for cell in (*cells, cells.mean())]
        values += ["" if idea in REFERENCES else gain, f"{seconds[idea]:.0f}"]
        lines.append([str(idea), *("" if "nan" in value else value for value in values)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

"""Results of the J-HMDB benchmark: a row for each training, as CSV and printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.jhmdb_runs import NETWORKS, STREAMS, Run, Study, Trial, command_of
from benchmarks.row_files import ORIGIN, RowFile
from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import score_files

_KEY = ["network", "stream", "split", "seed"]
_SETTINGS = [*Trial._fields]
_USAGE = ["seconds", "cpu_seconds", "gigabytes"]


class Results:
    """NAME.csv, with the trials in NAME_search.csv beside it.

    A row is written as soon as its training ends, and what has a row is not trained again. Rows of
    other networks stay.

    Args:
        path: NAME.csv.
        study: what all rows have in common.

    Raises:
        DataError: the files hold other tables, or rows of trainings of another size.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.study = study
        search = path.with_name(f"{path.stem}_search.csv")
        columns = [*_KEY, *_SETTINGS, "accuracy", *_USAGE, *ORIGIN]
        self._rows = RowFile(path, columns, _KEY)
        columns = [*_KEY, *_SETTINGS, "validation_accuracy", *_USAGE, *ORIGIN]
        self._search = RowFile(search, columns, [*_KEY, *_SETTINGS])
        for file in (self._rows, self._search):
            file.check_flags([f"--epochs={study.size.epochs}", *study.size.train])

    def has(self, run: Run) -> bool:
        """Returns whether there is a row of this training.

        Raises:
            DataError: the row is of another command.
        """
        file = self._search if run.search else self._rows
        cells = _cells(run)
        return file.has({name: cells[name] for name in file.key}, command_of(self.study, run))

    def add(self, run: Run, record: dict[str, Any]) -> None:
        """Writes the row of a scored network; an empty cell if it diverged.

        Raises:
            DataError: the file cannot be written, or the scores cannot be read.
        """
        row = {**_cells(run), **record, **{name: f"{record[name]:.2f}" for name in _USAGE}}
        if not record["diverged"]:
            name = "validation_accuracy" if run.search else "accuracy"
            row[name] = _accuracy(run.scores(self.study.work))
        (self._search if run.search else self._rows).write(pd.DataFrame([row]))

    def has_fused(self, rgb: Run, flow: Run) -> bool:
        """Returns whether there is a row of the fusion of two streams."""
        return not self._rows.find(_fused(rgb, flow)).empty

    def add_fused(self, rgb: Run, flow: Run, scores: Path, origin: dict[str, str]) -> None:
        """Writes the row of the fusion of two streams.

        Args:
            rgb, flow: the two.
            scores: directory of the fused scores.
            origin: cells of `ORIGIN`.
        """
        row = {**_fused(rgb, flow), **origin, "accuracy": _accuracy(scores)}
        self._rows.write(pd.DataFrame([row]))

    def diverged(self, run: Run) -> bool:
        """Returns whether the row of a training has no accuracy."""
        rows = self._rows.find({name: _cells(run)[name] for name in _KEY})
        return bool((rows["accuracy"] == "").any())

    def best(self, runs: Sequence[Run]) -> Run:
        """Returns the trial with the highest accuracy, the first of equal ones.

        Args:
            runs: trials of a network, each with a row.

        Raises:
            DataError: none of them ended with numbers.
        """
        rows = self._search.read().set_index(self._search.key)["validation_accuracy"]
        keys = [tuple(_cells(run)[name] for name in self._search.key) for run in runs]
        found = [float(rows[key] or "-inf") for key in keys]
        if max(found) < 0:
            raise DataError(f"{runs[0].network} diverged with all settings, {runs[0].stream}")
        return runs[found.index(max(found))]

    def show(self) -> None:
        """Prints a table of all rows: percent, and what a training took on average."""
        print(to_markdown(self._rows.read()), flush=True)


class Accuracy(NamedTuple):
    """Accuracy of a network on the test lists, percent; deviations are those of the sample.

    Attributes:
        splits: mean over the seeds, by split.
        mean: of the splits.
        over_seeds: deviation over the seeds of one split, pooled over splits; NaN with one seed.
        over_splits: deviation of the means of the splits; NaN with one split.
    """

    splits: pd.Series
    mean: float
    over_seeds: float
    over_splits: float


def accuracy_of(rows: pd.DataFrame) -> Accuracy:
    """Returns the accuracy of a network on one stream from its rows, without those that diverged.

    Args:
        rows: its rows, with numbers.
    """
    by_split = 100 * rows.set_index("split")["accuracy"].dropna()
    means = by_split.groupby(level=0).mean()
    pooled = np.sqrt(by_split.groupby(level=0).var().mean())
    return Accuracy(means, means.mean(), pooled, means.std())


def with_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Turns the texts of the file into numbers, where they are; an empty cell is NaN."""
    numbers = ["accuracy", *_USAGE]
    rows = rows.astype({"split": int})
    rows[numbers] = rows[numbers].apply(pd.to_numeric, errors="coerce")
    return rows


def to_markdown(rows: pd.DataFrame) -> str:
    """Formats the table of means and deviations.

    Args:
        rows: texts, as in the file.

    Returns:
        Markdown, with the figures of `Accuracy`. Seconds are medians, since some trainings also
        cache the maps of the trunk; the memory is the largest.
    """
    rows = with_numbers(rows)
    splits = sorted(rows["split"].unique())
    head = ["network", "stream", "trainings", *(f"split {split}" for split in splits)]
    head += ["mean", "± seeds", "± splits", "seconds", "processor seconds", "GB"]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    fused = [f"rgb+{name}" for name in STREAMS if name != "rgb"]
    for stream in (*STREAMS, *fused):
        for network in NETWORKS:
            own = rows[(rows["network"] == network) & (rows["stream"] == stream)]
            if len(own):
                lines.append([network, stream, *_summary(own, splits)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _summary(own: pd.DataFrame, splits: Sequence[int]) -> list[str]:
    means, *others = accuracy_of(own)
    numbers = [*(means.get(split, np.nan) for split in splits), *others]
    cells = [f"{number:.1f}" for number in (*numbers, *own[_USAGE[:2]].median())]
    cells.append(f"{own['gigabytes'].max():.2f}")
    lost = own["accuracy"].isna().sum()
    count = f"{len(own)}, {lost} diverged" if lost else f"{len(own)}"
    return [count, *("" if cell == "nan" else cell for cell in cells)]


def _cells(run: Run) -> dict[str, str]:
    """Returns what tells the run apart, as texts."""
    own = {name: str(getattr(run, name)) for name in _KEY}
    return {**own, **{name: f"{value:g}" for name, value in run.trial._asdict().items()}}


def _fused(rgb: Run, flow: Run) -> dict[str, str]:
    cells = {name: _cells(rgb)[name] for name in _KEY}
    return {**cells, "stream": f"{rgb.stream}+{flow.stream}"}


def _accuracy(directory: Path) -> float:
    """Returns the share of videos whose class has the highest score."""
    scores, _ = score_files.load(directory)
    return float(np.mean(scores.logits.argmax(axis=1) == scores.labels))

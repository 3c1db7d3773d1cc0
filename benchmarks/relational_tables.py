"""Results of the relational benchmark: a row for each training, as CSV and printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.relational_data import PAIRS
from benchmarks.relational_runs import Run, Study, command_of, cost, schedule
from benchmarks.row_files import ORIGIN, RowFile
from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import score_files
from rlstm_tf.reporting.benchmark import read_benchmark, tables
from tfrecords_tools.synthetic.pairs import Pair

_CURVES = ["setting", "seed", "epoch", "loss", "accuracy", "val_accuracy"]
_SEARCH = ["setting", "seed", "learning_rate", "validation_accuracy"]


def pair_shares(
    logits: np.ndarray, labels: np.ndarray, classes: Sequence[str], pairs: Sequence[Pair]
) -> dict[str, float]:
    """Computes how often the right class of a pair has the higher score.

    Args:
        logits: `[videos, classes]`.
        labels: class of each video, int `[videos]`.
        classes: names.
        pairs: which classes form pairs.

    Returns:
        Group -> mean over its pairs, 0..1; then `FIRST/SECOND` -> share of the videos of both
        classes.
    """
    shares = {}
    for pair in pairs:
        first, second = (list(classes).index(name) for name in pair.classes)
        of_first, of_second = labels == first, labels == second
        ahead = logits[:, first] > logits[:, second]
        right = (ahead & of_first) | (~ahead & of_second)
        shares["/".join(pair.classes)] = float(right.sum() / (of_first | of_second).sum())
    groups = {
        group: float(np.mean([shares["/".join(p.classes)] for p in pairs if p.group == group]))
        for group in dict.fromkeys(pair.group for pair in pairs)
    }
    return {**groups, **shares}


class Results:
    """NAME.csv, with NAME_curves.csv and NAME_search.csv beside it.

    A row is written as soon as its training ends, and what has a row is not trained again, so the
    directory of a run can be deleted then. Rows of other networks stay.

    Args:
        path: NAME.csv.
        study: what all rows have in common.

    Raises:
        DataError: the files hold other tables, or rows of a study with other numbers of videos or
            epochs.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path, self.study = path, study
        pairs = PAIRS[study.scenes]
        shares = [*dict.fromkeys(pair.group for pair in pairs)]
        shares += ["/".join(pair.classes) for pair in pairs]
        head = ["setting", "table", "seed", "learning_rate", *shares, "accuracy"]
        head += ["parameters", "multiply_adds", "videos_per_second", *ORIGIN]
        curves, search = (
            path.with_name(f"{path.stem}_{kind}.csv") for kind in ("curves", "search")
        )
        self._rows = RowFile(path, head, ["setting", "seed"])
        self._curves = RowFile(curves, _CURVES, ["setting", "seed"])
        self._search = RowFile(search, [*_SEARCH, *ORIGIN], _SEARCH[:3])
        self._rows.check_flags(schedule(study))
        self._curves.read()
        self._search.check_flags(schedule(study, trial=True))

    def has(self, run: Run) -> bool:
        """Returns whether there is a row of this training.

        Raises:
            DataError: the row is of another command.
        """
        key = {"setting": run.setting.name, "seed": run.seed}
        return self._rows.has(key, command_of(self.study, run))

    def has_trial(self, run: Run) -> bool:
        """Returns whether there is a row of this trial of a learning rate; raises as `has`."""
        key = {"setting": run.setting.name, "seed": run.seed, "learning_rate": f"{run.rate:g}"}
        return self._search.has(key, command_of(self.study, run))

    def add(self, run: Run, record: dict[str, Any]) -> None:
        """Writes the row and the curve of a tested network; empty cells if it diverged.

        Raises:
            DataError: the files cannot be written.
        """
        directory = run.directory(self.study.work)
        parameters, multiply_adds = cost(run.setting, 2 * len(PAIRS[self.study.scenes]))
        row = {
            "setting": run.setting.name,
            "table": run.setting.table,
            "seed": run.seed,
            "learning_rate": f"{run.rate:g}",
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            **record,
        }
        if not record["diverged"]:
            found, _ = score_files.load(directory / "evaluation" / "test")
            pairs = PAIRS[self.study.scenes]
            row.update(pair_shares(found.logits, found.labels, found.classes, pairs))
            row["accuracy"] = _accuracy(found)
        if (directory / "history.csv").exists():
            history = pd.read_csv(directory / "history.csv")
            row["videos_per_second"] = f"{history['videos_per_second'].mean():.1f}"
            curve = history.assign(setting=run.setting.name, seed=run.seed)[_CURVES]
            self._curves.write(curve)
        self._rows.write(pd.DataFrame([row]))

    def add_trial(self, run: Run, record: dict[str, Any]) -> None:
        """Writes the row of a trial of a learning rate; an empty cell if it diverged."""
        row = {
            "setting": run.setting.name,
            "seed": run.seed,
            "learning_rate": f"{run.rate:g}",
            **record,
        }
        if not record["diverged"]:
            directory = run.directory(self.study.work) / "evaluation" / "validation"
            row["validation_accuracy"] = _accuracy(score_files.load(directory)[0])
        self._search.write(pd.DataFrame([row]))

    def best_rate(self, name: str) -> float:
        """Returns the learning rate with the highest accuracy, the smaller one of two.

        Args:
            name: setting with a row for each of its rates.

        Raises:
            DataError: none of its trials ended with numbers.
        """
        rows = self._search.read()
        rows = rows[(rows["setting"] == name) & (rows["validation_accuracy"] != "")]
        if rows.empty:
            raise DataError(f"{name} diverged at each learning rate")
        found = rows.astype({"learning_rate": float, "validation_accuracy": float})
        ranked = found.sort_values(
            ["validation_accuracy", "learning_rate"], ascending=[False, True]
        )
        return float(ranked["learning_rate"].iloc[0])

    def show(self) -> None:
        """Prints the tables: means and deviations over the seeds, by group."""
        benchmark = read_benchmark(str(self.path))
        for table in tables.tables_of(benchmark):
            cells = tables.group_cells(table, benchmark)
            print(tables.to_markdown(table.title, tables.caption_of(benchmark), cells))


def _accuracy(scores: score_files.Scores) -> float:
    """Returns the share of videos whose class has the highest score."""
    return float(np.mean(scores.logits.argmax(axis=1) == scores.labels))

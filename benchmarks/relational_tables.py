"""Results of the relational benchmark: accuracy by pair and by group, as CSV and printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.relational_runs import RECORD, Run
from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import score_files
from rlstm_tf.reporting.benchmark import read_benchmark, tables
from rlstm_tf.storage.atomic import write_atomic, writing
from tfrecords_tools.synthetic.relations import PAIRS

GROUPS = tuple(dict.fromkeys(pair.group for pair in PAIRS))
_SHARES = (*GROUPS, *("/".join(pair.classes) for pair in PAIRS), "accuracy")
_COLUMNS = ["setting", "table", "seed", *_SHARES, "videos_per_second"]
_COLUMNS += ["command", "commit", "machine"]
_CURVES = ["setting", "seed", "epoch", "loss", "accuracy", "val_accuracy"]


def pair_shares(logits: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Computes how often the right class of a pair has the higher score.

    Args:
        logits: `[videos, classes]`.
        labels: class of each video, int `[videos]`.
        classes: names.

    Returns:
        `FIRST/SECOND` -> share of the videos of both classes, 0..1; then group -> mean over its
        pairs.
    """
    shares = {}
    for pair in PAIRS:
        first, second = (list(classes).index(name) for name in pair.classes)
        of_first, of_second = labels == first, labels == second
        ahead = logits[:, first] > logits[:, second]
        right = (ahead & of_first) | (~ahead & of_second)
        shares["/".join(pair.classes)] = float(right.sum() / (of_first | of_second).sum())
    groups = {
        group: float(np.mean([shares["/".join(p.classes)] for p in PAIRS if p.group == group]))
        for group in GROUPS
    }
    return {**groups, **shares}


def _row(work: Path, run: Run) -> dict[str, Any]:
    """Returns a network's results, with its command, commit and machine."""
    directory = run.directory(work)
    found, _ = score_files.load(directory / "evaluation" / "test")
    history = pd.read_csv(directory / "history.csv")
    return {
        "setting": run.setting.name,
        "table": run.setting.table,
        "seed": run.seed,
        **pair_shares(found.logits, found.labels, found.classes),
        "accuracy": np.mean(found.logits.argmax(axis=1) == found.labels),
        "videos_per_second": f"{history['videos_per_second'].mean():.1f}",
        **json.loads((directory / RECORD).read_text(encoding="utf-8")),
    }


def _curve(work: Path, run: Run) -> pd.DataFrame:
    """Returns a network's learning curve, one row per epoch."""
    history = pd.read_csv(run.directory(work) / "history.csv")
    return history.assign(setting=run.setting.name, seed=run.seed)[_CURVES]


def check(path: Path) -> None:
    """Checks before the work that `write` will accept the files.

    Raises:
        DataError: they hold other tables.
    """
    _read(path, _COLUMNS)
    _read(_curves_path(path), _CURVES)


def write(path: Path, work: Path, runs: Sequence[Run]) -> None:
    """Writes NAME.csv and NAME_curves.csv; rows of other networks in them stay.

    Args:
        path: NAME.csv.
        work: directory of the runs.
        runs: trained and tested networks.

    Raises:
        DataError: the files cannot be written, or hold other tables.
    """
    beside = _curves_path(path)
    rows = pd.DataFrame([_row(work, run) for run in runs], columns=_COLUMNS)
    curves = pd.concat([_curve(work, run) for run in runs])
    with writing(path):
        contents = {beside: _csv(beside, curves), path: _csv(path, rows)}
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_atomic(file, content)


def _curves_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_curves.csv")


def _csv(path: Path, new: pd.DataFrame) -> bytes:
    """Formats these rows, after those of other networks in the file."""
    old, network = _read(path, list(new)), ["setting", "seed"]
    again = pd.MultiIndex.from_frame(new[network].astype(str))
    kept = old[~pd.MultiIndex.from_frame(old[network]).isin(again)]
    options: Any = {"index": False, "float_format": "%.4f", "lineterminator": "\n"}
    return (kept.to_csv(**options) + new.to_csv(header=False, **options)).encode()


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError:  # also of pandas' parser
        table = pd.DataFrame()
    if list(table) != columns:
        raise DataError(f"{path} holds another table: give another --output")
    return table


def show(path: Path) -> None:
    """Prints the tables of NAME.csv: means and deviations over the seeds, by group."""
    benchmark = read_benchmark(str(path))
    for table in tables.tables_of(benchmark):
        cells = tables.group_cells(table, benchmark)
        print(tables.to_markdown(table.title, tables.caption_of(benchmark), cells))

"""Results of the relational benchmark: accuracy by pair and by group, as CSV and printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.relational_runs import RECORD, Run
from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import score_files
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
    history = _history(directory)
    rates = [float(epoch["videos_per_second"]) for epoch in history]
    return {
        "setting": run.setting.name,
        "table": run.setting.table,
        "seed": run.seed,
        **_rounded(pair_shares(found.logits, found.labels, found.classes)),
        "accuracy": f"{np.mean(found.logits.argmax(axis=1) == found.labels):.4f}",
        "videos_per_second": f"{np.mean(rates):.1f}",
        **json.loads((directory / RECORD).read_text(encoding="utf-8")),
    }


def _curve(work: Path, run: Run) -> list[dict[str, Any]]:
    """Returns a network's learning curve, one entry per epoch."""
    names = ("loss", "accuracy", "val_accuracy")
    return [
        {
            "setting": run.setting.name,
            "seed": run.seed,
            "epoch": epoch["epoch"],
            **_rounded({name: float(epoch[name]) for name in names}),
        }
        for epoch in _history(run.directory(work))
    ]


def _history(directory: Path) -> list[dict[str, str]]:
    with (directory / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _rounded(numbers: dict[str, float]) -> dict[str, str]:
    return {name: f"{number:.4f}" for name, number in numbers.items()}


def check(path: Path) -> None:
    """Checks before the work that `write` will accept the files.

    Raises:
        DataError: they hold other tables.
    """
    _read(path, _COLUMNS)
    _read(_curves_path(path), _CURVES)


def write(path: Path, work: Path, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Writes NAME.csv and NAME_curves.csv; rows of other networks in them stay.

    Args:
        path: NAME.csv.
        work: directory of the runs.
        runs: trained and tested networks.

    Returns:
        The rows of these networks.

    Raises:
        DataError: the files cannot be written, or hold other tables.
    """
    beside = _curves_path(path)
    rows = [_row(work, run) for run in runs]
    curves = [entry for run in runs for entry in _curve(work, run)]
    with writing(path):
        contents = {beside: _csv(beside, _CURVES, curves), path: _csv(path, _COLUMNS, rows)}
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_atomic(file, content)
    return rows


def _curves_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_curves.csv")


def _csv(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> bytes:
    """Formats these rows, after those of other networks in the file."""
    new = {(row["setting"], str(row["seed"])) for row in rows}
    kept = [row for row in _read(path, columns) if (row["setting"], row["seed"]) not in new]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows([*kept, *rows])
    return text.getvalue().encode()


def _read(path: Path, columns: list[str]) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if table.fieldnames != columns:
            raise DataError(f"{path} holds another table: give another --output")
        return list(table)


def show(rows: list[dict[str, Any]]) -> None:
    """Prints means and standard deviations over the seeds: groups, then all classes."""
    columns = {**{group: group for group in GROUPS}, "accuracy": "all classes"}
    print(f"{'':20}" + "".join(f"{title:>16}" for title in columns.values()))
    for name in dict.fromkeys(row["setting"] for row in rows):
        of_setting = [row for row in rows if row["setting"] == name]
        cells = []
        for column in columns:
            values = [float(row[column]) for row in of_setting]
            spread = f" +- {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}".rjust(16))
        print(f"{name:20}" + "".join(cells))

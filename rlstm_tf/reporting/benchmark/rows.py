"""Reads the CSV files of `benchmarks.relations`: a row for each trained network, and its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rlstm_tf.errors import DataError

# Columns, of which a file has at least one, and what tells the two classes of their pairs apart.
GROUPS = {
    "appearance": "one frame suffices",
    "motion": "the order of the frames",
    "space": "how shapes stand or move to each other",
    "time": "what one shape does to what another one did before",
    "ends": "what is seen at the beginning and at the end of the clip",
    "matching": "which shapes are alike, of kinds that are drawn for each clip",
}
ACCURACY = "accuracy"
MODELS = "models"
_COLUMNS = ("setting", "table", "seed", "command", "commit", "machine")
# What older files lack.
FACTS = ("learning_rate", "parameters", "multiply_adds")
# Column -> pattern of its cells, and the same in words. A table's name is that of a file.
_INTEGER = (r"-?\d+", "an integer")
_CELLS = {
    "setting": (r"(?s).+", "a name"),
    "table": (r"[A-Za-z0-9_-]+", "a name of letters, digits, _ and -"),
    "seed": _INTEGER,
    "epoch": _INTEGER,
    "learning_rate": (r"[\d.e+-]+", "a number"),
    "parameters": (r"\d+", "an integer"),
    "multiply_adds": (r"\d+", "an integer"),
}


@dataclass(frozen=True)
class Benchmark:
    """Results of the relational benchmark.

    Attributes:
        path: file of the rows.
        groups: columns of groups of pairs, in the order of `GROUPS`.
        pairs: columns of single pairs of classes.
        rows: trained networks, in the order of the file. Networks with the same `setting` differ in
            their `seed`. The groups, the pairs and `accuracy` are in percent, NaN = empty. `FACTS`
            are as in the file, if it has them.
        curves: `setting`, `seed`, `epoch` and `val_accuracy` in percent; empty if there is no file.
    """

    path: str
    groups: tuple[str, ...]
    pairs: tuple[str, ...]
    rows: pd.DataFrame
    curves: pd.DataFrame


def read_benchmark(path: str) -> Benchmark:
    """Reads NAME.csv and, if it exists, NAME_curves.csv beside it.

    Raises:
        DataError: a file cannot be read, lacks a column or rows, has a network twice, or a cell
            that is out of range.
    """
    rows = _read(Path(path), _COLUMNS, [ACCURACY], ["setting", "seed"])
    groups = tuple(group for group in GROUPS if group in rows)
    if not groups:
        raise DataError(f"{path}: no column is called {', '.join(GROUPS)}")
    beside = Path(path).with_name(f"{Path(path).stem}_curves.csv")
    key = ["setting", "seed", "epoch"]
    curves = pd.DataFrame(columns=[*key, "val_accuracy"])
    if beside.exists():
        curves = _read(beside, key, ["val_accuracy"], key)
    pairs = tuple(name for name in rows if "/" in name)
    return Benchmark(path, groups, pairs, rows, curves)


def _read(
    path: Path, columns: Sequence[str], shares: Sequence[str], key: Sequence[str]
) -> pd.DataFrame:
    """Reads a CSV file; the index of a row is its line."""
    try:
        # header=None: columns of one name stay apart; engine: short lines differ from empty cells.
        cells = pd.read_csv(
            path,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            engine="python",
        )
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # also of pandas' parser, and of text that is not UTF-8
        raise DataError(f"{path} is not a CSV file: {error}") from None
    cells.index += 1
    head, table = list(cells.iloc[0]), cells.iloc[1:].dropna(how="all")
    shares = [*shares, *(name for name in dict.fromkeys(head) if name in GROUPS or "/" in name)]
    columns = [*columns, *(name for name in FACTS if name in head)]
    for column in (*columns, *shares):
        if head.count(column) != 1:
            raise DataError(f"{path}: {head.count(column)} columns are called {column!r}, not one")
    if table.empty:
        raise DataError(f"{path} has no rows")
    for line in table.index[table.isna().any(axis=1)]:
        count = table.loc[line].count()
        raise DataError(f"{path}, line {line}: {count} cells, the head has {len(head)}")
    table = table.set_axis(head, axis=1)
    for column in {*columns} & {*_CELLS}:
        pattern, words = _CELLS[column]
        _check(path, table[column], table[column].str.fullmatch(pattern), words)
    for column in shares:
        numbers = pd.to_numeric(table[column], errors="coerce")
        _check(path, table[column], numbers.between(0, 1) | (table[column] == ""), "from 0 to 1")
        table[column] = 100 * numbers
    for line in table.index[table.duplicated(key)]:
        network = ", ".join(table.loc[line, key])
        raise DataError(f"{path}, line {line}: {network} is there a second time")
    integers = [column for column in columns if _CELLS.get(column) == _INTEGER]
    return table.astype(dict.fromkeys(integers, int))


def _check(path: Path, cells: pd.Series, is_valid: pd.Series, words: str) -> None:
    for line in cells.index[~is_valid]:
        raise DataError(f"{path}, line {line}: {cells.name} must be {words}, found {cells[line]!r}")

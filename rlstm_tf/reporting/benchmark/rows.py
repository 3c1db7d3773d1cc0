"""Reads what `benchmarks.relations` wrote: a row for each trained network, and learning curves."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rlstm_tf.errors import DataError

# What tells the two classes of a pair apart; columns, as those below.
GROUPS = {
    "appearance": "one frame suffices",
    "motion": "the order of the frames",
    "space": "how shapes stand or move to each other",
    "time": "what one shape does to what another one did before",
    "ends": "what is seen at the beginning and at the end of the clip",
}
ACCURACY = "accuracy"
MODELS = "models"
_FACTS = ("setting", "table", "seed", "command", "commit", "machine")
_CURVES = ("setting", "seed", "epoch", "val_accuracy")
# Names a file.
_TABLE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_N = TypeVar("_N", int, float)

# Share of right answers by epoch, of each seed.
Curves = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Row:
    """A trained network.

    Attributes:
        setting: its name; rows of one setting differ in their seed.
        table: where it belongs.
        shares: right answers, 0..1, by column; a column whose cell is empty is not there.
    """

    setting: str
    table: str
    seed: int
    shares: Mapping[str, float]
    command: str
    commit: str
    machine: str


@dataclass(frozen=True)
class Benchmark:
    """What was read.

    Attributes:
        path: of the rows.
        pairs: columns of single pairs of classes.
        rows: in the order of the file.
        curves: by setting, of those that have one; empty if there is no file of them.
    """

    path: str
    pairs: tuple[str, ...]
    rows: tuple[Row, ...]
    curves: Mapping[str, Curves]


def read_benchmark(path: str) -> Benchmark:
    """Reads NAME.csv and, if it stands there, NAME_curves.csv.

    Raises:
        DataError: a file cannot be read, lacks a column or rows, holds a network twice, or a cell
            that is no number of its kind.
    """
    head, cells = _read(Path(path), (*_FACTS, *GROUPS, ACCURACY))
    pairs = tuple(name for name in head if "/" in name)
    rows = [_row(place, texts, (*GROUPS, *pairs, ACCURACY)) for place, texts in cells.items()]
    _refuse_twice(zip(cells, ((row.setting, row.seed) for row in rows)))
    beside = Path(path).with_name(f"{Path(path).stem}_curves.csv")
    return Benchmark(path, pairs, tuple(rows), _read_curves(beside) if beside.exists() else {})


def _read_curves(path: Path) -> dict[str, dict[int, dict[int, float]]]:
    curves: dict[str, dict[int, dict[int, float]]] = {}
    places = []
    for place, texts in _read(path, _CURVES)[1].items():
        seed, epoch = (_number(place, texts, name, int) for name in ("seed", "epoch"))
        places.append((place, (texts["setting"], seed, epoch)))
        share = _share(place, texts, "val_accuracy")
        if share is not None:
            curves.setdefault(texts["setting"], {}).setdefault(seed, {})[epoch] = share
    _refuse_twice(places)
    return curves


def _read(path: Path, columns: tuple[str, ...]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The head of a table, and its cells by where they stand and by their column."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            lines = [(f"{path}, line {reader.line_num}", line) for line in reader if line]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file: {error}") from None
    head = lines[0][1] if lines else []
    for column in columns:
        if head.count(column) != 1:
            raise DataError(f"{path}: {head.count(column)} columns are called {column!r}, not one")
    if len(lines) < 2:
        raise DataError(f"{path} has no rows")
    for place, line in lines:
        if len(line) != len(head):
            raise DataError(f"{place}: {len(line)} cells, the head has {len(head)}")
    return head, {place: dict(zip(head, line)) for place, line in lines[1:]}


def _row(place: str, texts: Mapping[str, str], columns: tuple[str, ...]) -> Row:
    if not texts["setting"]:
        raise DataError(f"{place}: setting is empty")
    if not _TABLE_NAME.fullmatch(texts["table"]):
        raise DataError(
            f"{place}: table is {texts['table']!r}, not a name of letters, digits, _ and -"
        )
    shares = {name: _share(place, texts, name) for name in columns}
    return Row(
        seed=_number(place, texts, "seed", int),
        shares={name: share for name, share in shares.items() if share is not None},
        **{name: texts[name] for name in _FACTS if name != "seed"},
    )


def _share(place: str, texts: Mapping[str, str], column: str) -> float | None:
    """A number from 0 to 1; None for an empty cell."""
    if not texts[column]:
        return None
    share = _number(place, texts, column, float)
    if not 0 <= share <= 1:
        raise DataError(f"{place}: {column} is {texts[column]}, not from 0 to 1")
    return share


def _number(place: str, texts: Mapping[str, str], column: str, kind: Callable[[str], _N]) -> _N:
    try:
        return kind(texts[column])
    except ValueError:
        raise DataError(f"{place}: {column} is {texts[column]!r}, which is no number") from None


def _refuse_twice(places: Iterable[tuple[str, tuple]]) -> None:
    """Refuses a key that stands in two places."""
    first: dict[tuple, str] = {}
    for place, key in places:
        if first.setdefault(key, place) != place:
            what = ", ".join(map(str, key))
            raise DataError(f"{place}: {what} stands there again, first in {first[key]}")

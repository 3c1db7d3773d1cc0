"""CSV files of results, to which rows are added as they come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import write_atomic, writing

# Columns that say how a row was made.
ORIGIN = ("command", "commit", "machine")


class RowFile:
    """A CSV file whose rows are told apart by some of their cells.

    Args:
        path: the file; need not exist.
        columns: names of the columns.
        key: columns that identify what one call of `write` wrote.
    """

    def __init__(self, path: Path, columns: Sequence[str], key: Sequence[str]) -> None:
        self.path, self.columns, self.key = path, [*columns], [*key]

    def read(self) -> pd.DataFrame:
        """Returns all rows, as texts.

        Raises:
            DataError: the file cannot be read, or has other columns.
        """
        if not self.path.exists():
            return pd.DataFrame(columns=self.columns, dtype=str)
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False)
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}") from None
        except ValueError:  # also of pandas' parser
            table = pd.DataFrame()
        if list(table) != self.columns:
            raise DataError(f"{self.path} holds another table: give another --output")
        return table

    def find(self, key: Mapping[str, Any]) -> pd.DataFrame:
        """Returns the rows with these cells, as texts; raises as `read`."""
        rows = self.read()
        for column, value in key.items():
            rows = rows[rows[column] == str(value)]
        return rows

    def has(self, key: Mapping[str, Any], command: str) -> bool:
        """Returns whether there is a row with this key.

        Args:
            key: cells by column.
            command: command that the row must be of.

        Raises:
            DataError: it is of another command.
        """
        rows = self.find(key)
        for found in rows["command"]:
            if found != command:
                raise DataError(f"{self.path} has a row of {found}: give another --output")
        return not rows.empty

    def check_flags(self, flags: Collection[str]) -> None:
        """Raises DataError if a row is of a training without these flags."""
        for command in self.read()["command"]:
            words = command.split()
            if words[:1] != ["rlstm_tf.fuse"] and not {*flags} <= {*words}:
                raise DataError(f"{self.path} has a row of {command}: give another --output")

    def write(self, rows: pd.DataFrame) -> None:
        """Writes these rows after those of the file that have another key.

        Args:
            rows: columns that the file does not have are left out.

        Raises:
            DataError: the file cannot be written.
        """
        new = rows.reindex(columns=self.columns)
        old = self.read()
        again = pd.MultiIndex.from_frame(new[self.key].astype(str))
        kept = old[~pd.MultiIndex.from_frame(old[self.key]).isin(again)]
        options: Any = {"index": False, "float_format": "%.4f", "lineterminator": "\n"}
        text = kept.to_csv(**options) + new.to_csv(header=False, **options)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, text.encode())

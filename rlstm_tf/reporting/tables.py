"""The paper's tables with our numbers beside its own, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlstm_tf.reporting import published, selection
from rlstm_tf.reporting.published import TITLES
from rlstm_tf.reporting.results import Result
from rlstm_tf.storage.spreadsheets import as_text

TestSets = Mapping[tuple[str, int], Sequence[Result]]


@dataclass(frozen=True)
class Value:
    """A number of ours.

    Attributes:
        percent: accuracy or mean average precision.
        results: the result, or those of which it is the mean.
    """

    percent: float
    results: tuple[Result, ...]


@dataclass(frozen=True)
class FilledTable:
    """A table with our numbers.

    Attributes:
        published: the table in the paper.
        ours: for each of its rows, our numbers by column; None = an empty cell.
        remarks: texts, each with the results that it is about; none if a result is missing.
    """

    published: published.Table
    ours: tuple[tuple[Value | None, ...], ...]
    remarks: tuple[tuple[str, tuple[Result, ...]], ...]

    @property
    def results(self) -> list[Result]:
        """Results in the table, each once."""
        values = [value for row in self.ours for value in row if value]
        return list(dict.fromkeys(result for value in values for result in value.results))


def fill(table: published.Table, test_sets: TestSets) -> FilledTable:
    """Adds our numbers to a published table.

    Args:
        table: one of `published.TABLES`.
        test_sets: from `selection.test_sets`.

    Raises:
        DataError: two results fill one cell; names both.
    """
    rows: list[tuple[Value | None, ...]] = []
    remarks: dict[str, dict[Result, None]] = {}
    for row in table.rows:
        ours: list[Value | None] = []
        for column in table.columns:
            value, missing = _value(column, row, test_sets)
            ours.append(value)
            if missing:
                remarks[f"{row.label}: no result of {missing}, so no mean"] = {}
            for result in value.results if value else ():
                texts = selection.deviations(result) + selection.other_network(result, row)
                for text in texts:
                    remarks.setdefault(text, {})[result] = None
        rows.append(tuple(ours))
    return FilledTable(
        table, tuple(rows), tuple((text, tuple(about)) for text, about in remarks.items())
    )


def to_markdown(table: FilledTable, numbers: Mapping[Result, int]) -> str:
    """Formats a table with caption and remarks; results have their number in results.csv."""
    lines = markdown_lines(cells(table))
    text = f"**{table.published.title}.** {table.published.caption}\n\n{lines}\n"
    for remark, about in table.remarks:
        of = ranges(numbers[result] for result in about)
        text += f"\n- {f'Result {of}: ' if of else ''}{remark}."
    return text + "\n" if table.remarks else text


def markdown_lines(rows: Sequence[Sequence[str]]) -> str:
    """Formats a head and rows as a Markdown table, numbers to the right of the first column."""
    head, *others = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    align = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, align, *others))


def to_csv(rows: Sequence[Sequence[str]]) -> str:
    """Formats rows as CSV, for spreadsheets too."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(map(as_text, row) for row in rows)
    return file.getvalue()


def cells(table: FilledTable) -> list[list[str]]:
    """Returns head and rows as texts: percentages with one decimal, an empty text for None."""
    with_paper = table.published.is_published
    head = [table.published.corner]
    for column in table.published.columns:
        head += [f"{column.head}, paper", f"{column.head}, ours"] if with_paper else [column.head]
    rows = [head]
    for row, values in zip(table.published.rows, table.ours):
        texts = [row.label]
        for paper, ours in zip(row.percent, values):
            texts += [percent(paper)] if with_paper else []
            texts.append(percent(ours.percent if ours else None))
        rows.append(texts)
    return rows


def percent(value: float | None) -> str:
    """Formats a percentage with one decimal; None gives an empty text."""
    return "" if value is None else f"{value:.1f}"


def ranges(numbers: Iterable[int]) -> str:
    """Formats 1, 2, 3, 5 as `1-3, 5`, with an en dash."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}\u2013{run[-1]}" for run in runs)


def _value(
    column: published.Column, row: published.Row, test_sets: TestSets
) -> tuple[Value | None, str]:
    """Returns the number of a cell, or None and the missing splits if only some are missing."""
    if not row.models:
        return None, ""
    dataset = column.dataset
    splits = column.splits or tuple(split for name, split in test_sets if name == dataset)
    results = {
        split: selection.find(test_sets.get((dataset, split), ()), row, column.stream)
        for split in splits
    }
    found = tuple(result for result in results.values() if result)
    if not found:
        return None, ""
    missing = [str(split) for split, result in results.items() if not result]
    if missing:
        return None, f"{TITLES[dataset]} split {', '.join(missing)}"
    return Value(100 * sum(result.value for result in found) / len(found), found), ""

"""The paper's tables with our figures beside its own, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlstm_tf.reporting import published, selection
from rlstm_tf.reporting.published import TITLES
from rlstm_tf.reporting.results import Result

TestSets = Mapping[tuple[str, int], Sequence[Result]]


@dataclass(frozen=True)
class Value:
    """A figure of ours.

    Attributes:
        percent: accuracy or mean average precision.
        results: what it is, or is the mean of.
    """

    percent: float
    results: tuple[Result, ...]


@dataclass(frozen=True)
class FilledRow:
    """A row: the paper's figures and ours, one a column; None is an empty cell."""

    label: str
    paper: tuple[float | None, ...]
    ours: tuple[Value | None, ...]


@dataclass(frozen=True)
class FilledTable:
    """A table as it is written.

    Attributes:
        published: what the paper says of it.
        corner: head of the first column.
        columns: heads of the others; each stands for the paper's figure and ours.
        rows: in the paper's order.
        remarks: texts, each with the results that it is about; none for one about a lack.
    """

    published: published.Table
    corner: str
    columns: tuple[str, ...]
    rows: tuple[FilledRow, ...]
    remarks: tuple[tuple[str, tuple[Result, ...]], ...]

    @property
    def results(self) -> list[Result]:
        """Whose figures stand in it, each once."""
        values = [value for row in self.rows for value in row.ours if value]
        return list(dict.fromkeys(result for value in values for result in value.results))


def fill(table: published.Table, test_sets: TestSets) -> FilledTable:
    """Puts our figures beside the published ones.

    Args:
        table: of `published.TABLES`.
        test_sets: of `selection.test_sets`.

    Raises:
        DataError: two results fill one cell; names both.
    """
    rows: list[FilledRow] = []
    remarks: dict[str, dict[Result, None]] = {}
    for row in table.rows:
        ours: list[Value | None] = []
        for column in table.columns:
            value, lacking = _value(column, row, test_sets)
            ours.append(value)
            if lacking:
                remarks[f"{row.label}: no result of {lacking}, so no mean"] = {}
            for result in value.results if value else ():
                texts = selection.deviations(result) + selection.other_network(result, row)
                for text in texts:
                    remarks.setdefault(text, {})[result] = None
        rows.append(FilledRow(row.label, row.percent, tuple(ours)))
    return FilledTable(
        published=table,
        corner=table.corner,
        columns=tuple(column.head for column in table.columns),
        rows=tuple(rows),
        remarks=tuple((text, tuple(about)) for text, about in remarks.items()),
    )


def to_markdown(table: FilledTable, numbers: Mapping[Result, int]) -> str:
    """The table, its caption and its remarks; results go by their number in results.csv."""
    head, *rows = cells(table)
    align = ["---"] + ["---:"] * (len(head) - 1)
    lines = ["| " + " | ".join(row) + " |" for row in (head, align, *rows)]
    text = f"**{table.published.title}.** {table.published.caption}\n\n" + "\n".join(lines) + "\n"
    for remark, about in table.remarks:
        of = ranges(numbers[result] for result in about)
        text += f"\n- {f'Result {of}: ' if of else ''}{remark}."
    return text + "\n" if table.remarks else text


def to_csv(rows: Sequence[Sequence[str]]) -> str:
    """Comma-separated rows, the head first."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def cells(table: FilledTable) -> list[list[str]]:
    """Head and rows as texts: percentages with one decimal, an empty text where there is none."""
    with_paper = table.published.is_published
    head = [table.corner]
    for column in table.columns:
        head += [f"{column}, paper", f"{column}, ours"] if with_paper else [column]
    rows = [head]
    for row in table.rows:
        texts = [row.label]
        for paper, ours in zip(row.paper, row.ours):
            texts += [percent(paper)] if with_paper else []
            texts.append(percent(ours.percent if ours else None))
        rows.append(texts)
    return rows


def percent(value: float | None) -> str:
    """One decimal; nothing for None."""
    return "" if value is None else f"{value:.1f}"


def ranges(numbers: Iterable[int]) -> str:
    """1, 2, 3, 5 as `1-3, 5`, with a dash between."""
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
    """The figure of a cell, or None and the splits that lack where only some do."""
    if not row.models:
        return None, ""
    dataset = column.dataset
    splits = column.splits or tuple(split for name, split in test_sets if name == dataset)
    results = {
        split: selection.find(test_sets.get((dataset, split), ()), row, column.stream)
        for split in splits
    }
    there = tuple(result for result in results.values() if result)
    if len(there) == len(splits) and there:
        return Value(100 * sum(result.value for result in there) / len(there), there), ""
    if not there:
        return None, ""
    lacking = [str(split) for split, result in results.items() if not result]
    return None, f"{TITLES[dataset]} split {', '.join(lacking)}"

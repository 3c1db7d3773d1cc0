"""The tables of the relational benchmark, as texts, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlstm_tf.reporting.benchmark.rows import ACCURACY, GROUPS, MODELS, Benchmark
from rlstm_tf.reporting.benchmark.spread import Lead, Spread, lead_of, spread_of
from rlstm_tf.reporting.panels import model_name

# The setting that the others are compared with. Its rows are in `MODELS`.
REFERENCE = "two_branch"
OTHERS = {"tsn": "TSN", "local": "the local branch"}
_TITLES = {
    MODELS: "Networks",
    "segments": "Number of segments",
    "cut": "Where the trunk ends",
    "attention": "Scale of the attention",
    "pairwise": "Pairwise functions",
    "embeddings": "Embeddings of the gates",
    "state": "Size of the state",
    "direction": "One direction or both",
    "objects": "Number of objects",
    "cells": "Cells of the LSTM",
}
_CAPTION = (
    "Right answers in percent. The groups: which of the two classes of a pair, 50 by chance. "
    "Mean \u00b1 standard deviation of the sample over the seeds; of one seed there is no deviation"
)


@dataclass(frozen=True)
class Line:
    """A setting in a table.

    Attributes:
        setting: as in the file.
        label: for readers.
        seeds: how many networks.
        spreads: by column, percent; None where no network has a number.
    """

    setting: str
    label: str
    seeds: int
    spreads: dict[str, Spread | None]


@dataclass(frozen=True)
class Table:
    """A table: its file's name, what is varied, and its settings, the reference first."""

    name: str
    title: str
    lines: tuple[Line, ...]


def tables_of(benchmark: Benchmark) -> list[Table]:
    """The tables that have rows, that of the networks first, the known ones before others."""
    there = dict.fromkeys(row.table for row in benchmark.rows)
    names = [name for name in _TITLES if name in there]
    names += [name for name in there if name not in _TITLES]
    return [_table(benchmark, name) for name in names]


def columns_of(benchmark: Benchmark) -> list[str]:
    """Columns of numbers: the groups, the pairs, all classes."""
    return [*GROUPS, *benchmark.pairs, ACCURACY]


def caption_of(benchmark: Benchmark) -> str:
    """What stands under every table."""
    if not benchmark.pairs:
        return f"{_CAPTION}."
    classes = 2 * len(benchmark.pairs)
    return f"{_CAPTION}. All classes: which of the {classes}, {100 / classes:.3g} by chance."


def group_cells(table: Table, benchmark: Benchmark) -> list[list[str]]:
    """Head and a row for each setting: the groups, all classes, how many seeds."""
    rows = [["setting", *GROUPS, _all(benchmark), "seeds"]]
    for line in table.lines:
        cells = [_text(line, column) for column in (*GROUPS, ACCURACY)]
        rows.append([line.label, *cells, str(line.seeds)])
    return rows


def pair_cells(table: Table, benchmark: Benchmark) -> list[list[str]]:
    """Head and a row for each pair of classes, a column for each setting."""
    rows = [["pair", *(line.label for line in table.lines)]]
    for pair in benchmark.pairs:
        rows.append([pair, *(_text(line, pair) for line in table.lines)])
    return rows


def number_cells(table: Table, benchmark: Benchmark) -> list[list[str]]:
    """Head and a row for each setting and column, to compute with: percent, 4 decimals."""
    rows = [["setting", "column", "mean", "standard_deviation", "seeds"]]
    for line in table.lines:
        for column in columns_of(benchmark):
            spread = line.spreads[column]
            if spread:
                numbers = [_decimals(spread.mean), _decimals(spread.deviation)]
                rows.append([line.setting, column, *numbers, str(spread.count)])
    return rows


def leads(table: Table) -> dict[str, dict[str, Lead]]:
    """How far the reference is ahead, by group and by the other network; of those there are."""
    lines = {line.setting: line for line in table.lines}
    found: dict[str, dict[str, Lead]] = {}
    for group in GROUPS:
        ours = lines[REFERENCE].spreads[group] if REFERENCE in lines else None
        for name in OTHERS:
            other = lines[name].spreads[group] if name in lines else None
            if ours and other:
                found.setdefault(group, {})[name] = lead_of(ours, other)
    return found


def lead_sentences(found: dict[str, dict[str, Lead]]) -> list[str]:
    """A sentence for each group."""
    return [
        f"{group}: {model_name(REFERENCE)} is "
        + "; ".join(_words(lead, OTHERS[name]) for name, lead in others.items())
        for group, others in found.items()
    ]


def lead_cells(found: dict[str, dict[str, Lead]]) -> list[list[str]]:
    """Head and a row for each group and other network: percentage points, 4 decimals."""
    rows = [["group", "ahead_of", "points", "standard_deviations"]]
    for group, others in found.items():
        for name, lead in others.items():
            rows.append([group, name, _decimals(lead.difference), _decimals(lead.deviations)])
    return rows


def to_markdown(title: str, caption: str, rows: Sequence[Sequence[str]]) -> str:
    """A table under its title, its caption below."""
    head, *others = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    align = ["---"] + ["---:"] * (len(head) - 1)
    lines = ["| " + " | ".join(row) + " |" for row in (head, align, *others)]
    return f"**{title}**\n\n" + "\n".join(lines) + f"\n\n{caption}\n"


def _table(benchmark: Benchmark, name: str) -> Table:
    rows = [
        row
        for row in benchmark.rows
        if row.table == name or (row.table == MODELS and row.setting == REFERENCE)
    ]
    settings = dict.fromkeys(row.setting for row in rows)
    order = sorted(settings, key=lambda setting: setting != REFERENCE)
    lines = []
    for setting in order:
        own = [row for row in rows if row.setting == setting]
        spreads = {
            column: spread_of([100 * row.shares[column] for row in own if column in row.shares])
            for column in columns_of(benchmark)
        }
        label = model_name(setting)
        if setting == REFERENCE and name != MODELS:
            label += " (main table)"
        lines.append(Line(setting, label, len(own), spreads))
    return Table(name, _TITLES.get(name, name), tuple(lines))


def _text(line: Line, column: str) -> str:
    """Mean and deviation, one decimal; how many numbers, where not every network has one."""
    spread = line.spreads[column]
    if spread is None:
        return ""
    text = f"{spread.mean:.1f}"
    if spread.deviation is not None:
        text += f" \u00b1 {spread.deviation:.1f}"
    return text if spread.count == line.seeds else f"{text} (n = {spread.count})"


def _all(benchmark: Benchmark) -> str:
    return f"all {2 * len(benchmark.pairs)} classes" if benchmark.pairs else "all classes"


def _words(lead: Lead, other: str) -> str:
    points = round(lead.difference, 1)
    if not points:
        return f"level with {other}"
    text = f"{'ahead of' if points > 0 else 'behind'} {other} by {abs(points):.1f} points"
    if lead.deviations is None:
        return f"{text} (no deviation between seeds)"
    return f"{text}, {abs(lead.deviations):.1f} standard deviations"


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

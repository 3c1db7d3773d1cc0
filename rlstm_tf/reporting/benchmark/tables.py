"""Tables of the relational benchmark, as Markdown and as cells of a CSV file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from rlstm_tf.reporting.benchmark.rows import ACCURACY, GROUPS, MODELS, Benchmark
from rlstm_tf.reporting.panels import model_name
from rlstm_tf.reporting.tables import markdown_lines

# Setting that the others are compared with; its rows are in the table `MODELS`.
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
class Table:
    """Settings to compare, the reference first.

    Attributes:
        name: name of its files.
        title: heading.
        labels: setting -> label.
        seeds: setting -> number of networks.
        mean, deviation, count: over the seeds, `[settings, columns]`, percent; NaN = no number. The
            deviation is that of the sample, with `count - 1`; NaN for a single number.
    """

    name: str
    title: str
    labels: dict[str, str]
    seeds: pd.Series
    mean: pd.DataFrame
    deviation: pd.DataFrame
    count: pd.DataFrame


class Lead(NamedTuple):
    """Distance of the reference from another network in one group; negative if it is behind.

    Attributes:
        group: group of pairs of classes.
        ahead_of: setting of the other network.
        points: difference of the means, percentage points.
        standard_deviations: `points` in pooled standard deviations of a seed (not of the mean),
            variances weighted by their degrees of freedom; NaN where nothing deviates, or both have
            one seed.
    """

    group: str
    ahead_of: str
    points: float
    standard_deviations: float


def tables_of(benchmark: Benchmark) -> list[Table]:
    """Makes a table for each name in the rows: the networks first, the known ones before others."""
    present = list(benchmark.rows["table"].unique())
    names = [name for name in _TITLES if name in present]
    names += [name for name in present if name not in _TITLES]
    return [_table(benchmark, name) for name in names]


def caption_of(benchmark: Benchmark) -> str:
    """Returns the caption of every table."""
    if not benchmark.pairs:
        return f"{_CAPTION}."
    classes = 2 * len(benchmark.pairs)
    return f"{_CAPTION}. All classes: which of the {classes}, {100 / classes:.3g} by chance."


def group_cells(table: Table, benchmark: Benchmark) -> list[list[str]]:
    """Returns a head and a row for each setting: the groups, all classes, number of seeds."""
    count = f"{2 * len(benchmark.pairs)} " if benchmark.pairs else ""
    rows = [["setting", *GROUPS, f"all {count}classes", "seeds"]]
    for setting, label in table.labels.items():
        cells = [_text(table, setting, column) for column in (*GROUPS, ACCURACY)]
        rows.append([label, *cells, str(table.seeds[setting])])
    return rows


def pair_cells(table: Table, benchmark: Benchmark) -> list[list[str]]:
    """Returns a head and a row for each pair of classes, a column for each setting."""
    rows = [["pair", *table.labels.values()]]
    for pair in benchmark.pairs:
        rows.append([pair, *(_text(table, setting, pair) for setting in table.labels)])
    return rows


def numbers(table: Table) -> pd.DataFrame:
    """Returns a row for each setting and column that has a number, percent."""
    frames = {"mean": table.mean, "standard_deviation": table.deviation, "seeds": table.count}
    rows = pd.DataFrame({name: frame.T.unstack() for name, frame in frames.items()})
    return rows[rows["seeds"] > 0].rename_axis(["setting", "column"]).reset_index()


def leads(table: Table) -> list[Lead]:
    """Compares the reference with each of `OTHERS` in each group, where both have numbers."""
    found = []
    for group in GROUPS:
        for other in OTHERS:
            both = [REFERENCE, other]
            counts = table.count[group].reindex(both, fill_value=0)
            if counts.all():
                points = table.mean.at[REFERENCE, group] - table.mean.at[other, group]
                squares = ((counts - 1) * table.deviation.loc[both, group] ** 2).sum()
                pooled = math.sqrt(squares / (counts.sum() - 2)) if squares else math.nan
                found.append(Lead(group, other, points, points / pooled))
    return found


def lead_sentences(found: Sequence[Lead]) -> list[str]:
    """Returns a sentence for each group."""
    return [
        f"{group}: {model_name(REFERENCE)} is " + "; ".join(map(_words, of_group))
        for group, of_group in itertools.groupby(found, lambda lead: lead.group)
    ]


def to_markdown(title: str, caption: str, rows: Sequence[Sequence[str]]) -> str:
    """Formats a table, with its title above and its caption below."""
    return f"**{title}**\n\n{markdown_lines(rows)}\n\n{caption}\n"


def _table(benchmark: Benchmark, name: str) -> Table:
    rows, columns = benchmark.rows, [*GROUPS, *benchmark.pairs, ACCURACY]
    is_reference = (rows["table"] == MODELS) & (rows["setting"] == REFERENCE)
    rows = pd.concat([rows[is_reference], rows[(rows["table"] == name) & ~is_reference]])
    groups = rows.groupby("setting", sort=False)
    labels = {setting: model_name(setting) for setting in groups.size().index}
    if REFERENCE in labels and name != MODELS:
        labels[REFERENCE] += " (main table)"
    return Table(
        name,
        _TITLES.get(name, name),
        labels,
        groups.size(),
        groups[columns].mean(),
        # Rounded: equal numbers have no deviation.
        groups[columns].std().round(9),
        groups[columns].count(),
    )


def _text(table: Table, setting: str, column: str) -> str:
    """Formats mean and deviation; also the number of seeds where some have no number."""
    count = table.count.at[setting, column]
    if not count:
        return ""
    text = f"{table.mean.at[setting, column]:.1f}"
    if count > 1:
        text += f" \u00b1 {table.deviation.at[setting, column]:.1f}"
    return text if count == table.seeds[setting] else f"{text} (n = {count})"


def _words(lead: Lead) -> str:
    points, other = round(lead.points, 1), OTHERS[lead.ahead_of]
    if not points:
        return f"level with {other}"
    text = f"{'ahead of' if points > 0 else 'behind'} {other} by {abs(points):.1f} points"
    if math.isnan(lead.standard_deviations):
        return f"{text} (no deviation between seeds)"
    return f"{text}, {abs(lead.standard_deviations):.1f} standard deviations"

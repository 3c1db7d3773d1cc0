"""Tables of the relational benchmark, as Markdown and as cells of a CSV file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from rlstm_tf.reporting.benchmark.rows import ACCURACY, FACTS, GROUPS, MODELS, Benchmark
from rlstm_tf.reporting.panels import model_name
from rlstm_tf.reporting.tables import markdown_lines

# Settings that the others of a table are compared with, as far as there are any; their rows are in
# the table `MODELS`.
_WINNER, _PAPER = "winner", "two_branch"
_REFERENCES = {MODELS: (_WINNER, _PAPER), "options": (_WINNER, _PAPER)}
# Whom the first reference of `MODELS` is compared with.
OTHERS = {
    "tsn": "TSN",
    "local": "the local branch",
    "convlstm": "the ConvLSTM",
    "transformer": "the transformer",
    _PAPER: "the paper's two branches",
}
_FACTS = dict(zip(FACTS, ("learning rate", "parameters", "multiply-adds")))
_LABELS = {
    _WINNER: "two-branch, winning options",
    "both_ways": "winning options, both directions",
    "convlstm_both_ways": "ConvLSTM, both directions",
}
_TITLES = {
    MODELS: "Networks",
    "options": "Options of the relation",
    "branches": "Without the local branch",
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
        facts: `FACTS` of each setting, `[settings, facts]`, as in the file; those that differ
            between seeds are joined by `/`.
        mean, deviation, count: over the seeds, `[settings, columns]`, percent; NaN = no number. The
            deviation is that of the sample, with `count - 1`; NaN for a single number.
    """

    name: str
    title: str
    labels: dict[str, str]
    seeds: pd.Series
    facts: pd.DataFrame
    mean: pd.DataFrame
    deviation: pd.DataFrame
    count: pd.DataFrame


class Lead(NamedTuple):
    """Distance of the reference from another network in one group; negative if it is behind.

    Attributes:
        group: group of pairs of classes, or `accuracy`, that of all classes.
        reference: setting of the one network.
        ahead_of: setting of the other network.
        points: difference of the means, percentage points.
        standard_deviations: `points` in pooled standard deviations of a seed (not of the mean),
            variances weighted by their degrees of freedom; NaN where nothing deviates, or both have
            one seed.
    """

    group: str
    reference: str
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
    """Returns a head and a row for each setting: groups, all classes, number of seeds, facts."""
    count = f"{2 * len(benchmark.pairs)} " if benchmark.pairs else ""
    facts = [_FACTS[name] for name in table.facts]
    rows = [["setting", *benchmark.groups, f"all {count}classes", "seeds", *facts]]
    for setting, label in table.labels.items():
        cells = [_text(table, setting, column) for column in (*benchmark.groups, ACCURACY)]
        rows.append([label, *cells, str(table.seeds[setting]), *table.facts.loc[setting]])
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
    """Compares the first reference with each of `OTHERS`, where both have numbers.

    Returns:
        For each group, and last for all classes, a lead over each of them.
    """
    found: list[Lead] = []
    reference = next((name for name in _REFERENCES[MODELS] if name in table.labels), "")
    for group in [name for name in (*GROUPS, ACCURACY) if name in table.mean]:
        for other in OTHERS:
            both = [reference, other]
            counts = table.count[group].reindex(both, fill_value=0)
            if counts.all() and other != reference:
                points = table.mean.at[reference, group] - table.mean.at[other, group]
                squares = ((counts - 1) * table.deviation.loc[both, group] ** 2).sum()
                pooled = math.sqrt(squares / (counts.sum() - 2)) if squares else math.nan
                found.append(Lead(group, reference, other, points, points / pooled))
    return found


def lead_sentences(found: Sequence[Lead]) -> list[str]:
    """Returns a sentence for each group."""
    return [
        f"{'all classes' if group == ACCURACY else group}: {_label(reference)} is "
        + "; ".join(map(_words, of_group))
        for (group, reference), of_group in itertools.groupby(found, lambda lead: lead[:2])
    ]


def to_markdown(title: str, caption: str, rows: Sequence[Sequence[str]]) -> str:
    """Formats a table, with its title above and its caption below."""
    return f"**{title}**\n\n{markdown_lines(rows)}\n\n{caption}\n"


def _table(benchmark: Benchmark, name: str) -> Table:
    rows, columns = benchmark.rows, [*benchmark.groups, *benchmark.pairs, ACCURACY]
    main, references = rows[rows["table"] == MODELS], _REFERENCES.get(name, (_PAPER,))
    first = pd.concat([main[main["setting"] == reference] for reference in references])
    own = rows[rows["table"] == name]
    groups = pd.concat([first, own.drop(index=first.index, errors="ignore")]).groupby(
        "setting", sort=False
    )
    labels = {setting: _label(setting) for setting in groups.size().index}
    if name != MODELS:
        for reference in first["setting"].unique():
            labels[reference] += " (main table)"
    return Table(
        name,
        _TITLES.get(name, name),
        labels,
        groups.size(),
        groups[[fact for fact in FACTS if fact in rows]].agg(
            lambda cells: "/".join(cells.unique())
        ),
        groups[columns].mean(),
        # Rounded: equal numbers have no deviation.
        groups[columns].std().round(9),
        groups[columns].count(),
    )


def _label(setting: str) -> str:
    return _LABELS.get(setting) or model_name(setting)


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

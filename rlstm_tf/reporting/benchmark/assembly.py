"""Makes all files of a report on the relational benchmark, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from rlstm_tf.reporting import page
from rlstm_tf.reporting.benchmark import figures, tables
from rlstm_tf.reporting.benchmark.rows import GROUPS, MODELS, Benchmark
from rlstm_tf.reporting.benchmark.tables import Table
from rlstm_tf.reporting.output import INDEX
from rlstm_tf.reporting.panels import Panel
from rlstm_tf.reporting.tables import percent
from rlstm_tf.storage.spreadsheets import as_text

_LEAD_CAPTION = (
    "How far a network is ahead, in percentage points and in pooled standard deviations of a seed."
)


def assemble(benchmark: Benchmark, title: str) -> dict[str, bytes]:
    """Makes every file of a report.

    Args:
        benchmark: from `read_benchmark`.
        title: heading of the page.

    Returns:
        Content by path: `index.html`, `tables/...`, `figures/...`.
    """
    files: dict[str, bytes] = {}
    shown = []
    caption = tables.caption_of(benchmark)
    for table in tables.tables_of(benchmark):
        cells = {"": tables.group_cells(table, benchmark)}
        if benchmark.pairs:
            cells["_pairs"] = tables.pair_cells(table, benchmark)
        for suffix, rows in cells.items():
            text = tables.to_markdown(table.title, caption, rows)
            files[f"tables/{table.name}{suffix}.md"] = text.encode()
        files[f"tables/{table.name}.csv"] = _to_csv(tables.numbers(table))
        found = tables.leads(table) if table.name == MODELS else []
        sentences = tables.lead_sentences(found)
        if found:
            lines = [f"{_LEAD_CAPTION}\n", *(f"- {sentence}." for sentence in sentences)]
            files["tables/leads.md"] = ("\n".join(lines) + "\n").encode()
            files["tables/leads.csv"] = _to_csv(pd.DataFrame(found))
        panels = [_bars(table, benchmark.groups), *_curves(table, benchmark.curves)]
        files.update({f"figures/{panel.name}": panel.png for panel in panels})
        shown.append(
            {
                "name": table.name,
                "title": table.title,
                "cells": list(cells.values()),
                "sentences": sentences,
                "figures": panels,
            }
        )
    index = page.fill(
        "benchmark.html.j2",
        title=title,
        path=benchmark.path,
        networks=len(benchmark.rows),
        groups=[(group, GROUPS[group]) for group in benchmark.groups],
        caption=caption,
        lead_caption=_LEAD_CAPTION,
        tables=shown,
        rows=list(benchmark.rows.itertuples()),
    )
    return {INDEX: index.encode(), **files}


def _to_csv(rows: pd.DataFrame) -> bytes:
    rows = rows.apply(lambda column: column.map(as_text))
    return rows.to_csv(index=False, float_format="%.4f", lineterminator="\n").encode()


def _bars(table: Table, groups: Sequence[str]) -> Panel:
    means = table.mean[[*groups]]
    words = [
        f"{label}: "
        + ", ".join(
            f"{group} {percent(mean)}" for group, mean in means.loc[setting].dropna().items()
        )
        for setting, label in table.labels.items()
    ]
    return Panel(
        f"{table.name}.png",
        figures.bars([*table.labels.values()], means, table.deviation[[*groups]]),
        True,
        f"{table.title}, by group",
        "Bars begin at chance. Lines on them: one standard deviation between seeds up and down.",
        f"Bar chart, percent. {'; '.join(words)}.",
    )


def _curves(table: Table, curves: pd.DataFrame) -> Iterator[Panel]:
    curves = curves.dropna(subset=["val_accuracy"])
    courses = {
        label: curves[curves["setting"] == setting].groupby("epoch")["val_accuracy"]
        for setting, label in table.labels.items()
        if setting in curves["setting"].values
    }
    if not courses:
        return
    means = [course.mean() for course in courses.values()]
    deviations = [course.std() for course in courses.values()]
    ends = [f"{label} ends at {percent(mean.iloc[-1])}" for label, mean in zip(courses, means)]
    yield Panel(
        f"{table.name}_curves.png",
        figures.curves([*courses], means, deviations),
        True,
        f"{table.title}, learning curves",
        "Mean over seeds; band: one standard deviation up and down.",
        f"Line chart, percent by epoch. {'; '.join(ends)}.",
    )

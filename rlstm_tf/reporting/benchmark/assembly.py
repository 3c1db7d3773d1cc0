"""The whole report of the relational benchmark in memory: every file of it by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlstm_tf.reporting import page
from rlstm_tf.reporting.benchmark import figures, tables, template
from rlstm_tf.reporting.benchmark.rows import GROUPS, MODELS, Benchmark, Curves
from rlstm_tf.reporting.benchmark.spread import Spread, spread_of
from rlstm_tf.reporting.benchmark.tables import Table
from rlstm_tf.reporting.output import INDEX
from rlstm_tf.reporting.panels import Panel
from rlstm_tf.reporting.tables import percent, to_csv

_LEAD_CAPTION = (
    "How far the two-branch network is ahead, in percentage points and in pooled standard "
    "deviations of a seed."
)


def assemble(benchmark: Benchmark, title: str) -> dict[str, bytes]:
    """Makes every file of a report.

    Args:
        benchmark: of `rows.read_benchmark`.
        title: of the page.

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
        files[f"tables/{table.name}.csv"] = to_csv(tables.number_cells(table, benchmark)).encode()
        found = tables.leads(table) if table.name == MODELS else {}
        sentences = tables.lead_sentences(found)
        if found:
            lines = [f"{_LEAD_CAPTION}\n", *(f"- {sentence}." for sentence in sentences)]
            files["tables/leads.md"] = ("\n".join(lines) + "\n").encode()
            files["tables/leads.csv"] = to_csv(tables.lead_cells(found)).encode()
        panels = [_bars(table), *_curves(table, benchmark.curves)]
        files.update({f"figures/{panel.name}": panel.png for panel in panels})
        shown.append(
            {
                "name": table.name,
                "title": table.title,
                "cells": list(cells.values()),
                "sentences": sentences,
                "figures": [page.figure(panel) for panel in panels],
            }
        )
    index = page.fill(
        template.PAGE,
        title=title,
        path=benchmark.path,
        networks=len(benchmark.rows),
        groups=GROUPS.items(),
        caption=caption,
        lead_caption=_LEAD_CAPTION,
        tables=shown,
        rows=benchmark.rows,
    )
    return {INDEX: index.encode(), **files}


def _bars(table: Table) -> Panel:
    spreads = [[line.spreads[group] for group in GROUPS] for line in table.lines]
    words = []
    for line, own in zip(table.lines, spreads):
        numbers = (f"{group} {percent(s.mean)}" for group, s in zip(GROUPS, own) if s)
        words.append(f"{line.label}: {', '.join(numbers)}")
    return Panel(
        f"{table.name}.png",
        figures.bars([line.label for line in table.lines], list(GROUPS), spreads),
        True,
        f"{table.title}, by group",
        "Bars begin at chance. Lines on them: one standard deviation between seeds up and down.",
        f"Bar chart, percent. {'; '.join(words)}.",
    )


def _curves(table: Table, curves: Mapping[str, Curves]) -> Iterator[Panel]:
    lines = [line for line in table.lines if line.setting in curves]
    if not lines:
        return
    courses = [_course(curves[line.setting]) for line in lines]
    ends = [
        f"{line.label} ends at {percent(course[-1][1].mean)}"
        for line, course in zip(lines, courses)
    ]
    yield Panel(
        f"{table.name}_curves.png",
        figures.curves([line.label for line in lines], courses),
        True,
        f"{table.title}, learning curves",
        "Mean over seeds; band: one standard deviation up and down.",
        f"Line chart, percent by epoch. {'; '.join(ends)}.",
    )


def _course(curves: Curves) -> list[tuple[int, Spread]]:
    """Epochs in order, each with what the seeds that came so far reach there; percent."""
    epochs = sorted({epoch for own in curves.values() for epoch in own})
    course = []
    for epoch in epochs:
        spread = spread_of([100 * own[epoch] for own in curves.values() if epoch in own])
        if spread:
            course.append((epoch, spread))
    return course

"""The page: one file without scripts that loads nothing. Texts are escaped, images embedded."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from rlstm_tf.reporting import panels, selection, tables
from rlstm_tf.reporting.output import GENERATOR
from rlstm_tf.reporting.panels import MEASURES, Panel, TestSet
from rlstm_tf.reporting.published import TITLES
from rlstm_tf.reporting.results import MAP, Result
from rlstm_tf.reporting.tables import FilledTable, percent, ranges

PROTOCOLS = {
    "paper": "paper (4 groups, 5 crops; of multi-label videos 10 clips)",
    "center": "center (one view)",
}
RESULTS_HEAD = ("", "test set", "network", "percent", "videos", "parts", "files", "stands in")
_CSV_PART = ("stream", "model", "num_segments", "cut", "backbone", "protocol", "run")


def render(
    title: str,
    runs: Sequence[str],
    numbers: Mapping[Result, int],
    filled: Sequence[FilledTable],
    sets: Sequence[TestSet],
    per_class: Mapping[str, list[list[str]]],
) -> str:
    """Renders the page as HTML.

    Args:
        title: heading.
        runs: directories that were searched.
        numbers: number of each result.
        filled: tables.
        sets: test sets with their figures.
        per_class: rows of the table of each test set, by name.
    """
    protocols: dict[str, list[int]] = {}
    for result, number in numbers.items():
        for name in dict.fromkeys(part.protocol for part in result.parts):
            protocols.setdefault(PROTOCOLS.get(str(name), str(name)), []).append(number)
    return fill(
        "report.html.j2",
        title=title,
        runs=runs,
        protocols=[(name, ranges(found)) for name, found in protocols.items()],
        deviations=_deviations(numbers, sets),
        tables=[_table(table, numbers) for table in filled],
        sets=[_test_set(entry, per_class[entry.name]) for entry in sets],
        results_head=RESULTS_HEAD,
        results=[_result(result, number, filled) for result, number in numbers.items()],
    )


def fill(template: str, **values: Any) -> str:
    """Fills in a template of `templates/` with texts; all are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlstm_tf.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(generator=Markup(GENERATOR), **values)


def figure(panel: Panel) -> dict[str, str]:
    """Returns the values of a figure for a template, with the image embedded."""
    return {
        "name": panel.name,
        "source": "data:image/png;base64," + base64.b64encode(panel.png).decode(),
        "width": "page" if panel.is_wide else "column",
        "title": panel.title,
        "caption": panel.caption,
        "alt": panel.alt,
    }


def results_rows(numbers: Mapping[Result, int], filled: Sequence[FilledTable]) -> list[list[str]]:
    """Returns head and rows of results.csv; parts of a fused result are joined by +."""
    rows = [
        ["result", "dataset", "split", "subset", "measure", "percent", "videos", "weight"]
        + [*_CSV_PART, "files", "stands_in"]
    ]
    for result, number in numbers.items():
        described = [str(number), str(result.dataset), str(result.split), str(result.subset)]
        described += [result.measure, percent(100 * result.value), str(len(result.scores.ids))]
        weights = " + ".join(f"{part.weight:g}" for part in result.parts)
        parts = [" + ".join(str(getattr(p, name)) for p in result.parts) for name in _CSV_PART]
        rows.append([*described, weights, *parts, result.path, _stands_in(result, filled)])
    return rows


def _deviations(numbers: Mapping[Result, int], sets: Sequence[TestSet]) -> list[tuple[str, str]]:
    found: dict[str, list[int]] = {}
    for result in (result for entry in sets for result in entry.results):
        # The paper has results on these data sets only.
        if result.dataset in TITLES:
            for text in selection.deviations(result):
                found.setdefault(text, []).append(numbers[result])
    return [(text, ranges(found[text])) for text in found]


def _table(table: FilledTable, numbers: Mapping[Result, int]) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        cells = []
        for paper, ours in zip(row.paper, row.ours):
            about = [numbers[result] for result in ours.results] if ours else []
            cells.append((percent(paper), percent(ours.percent if ours else None), about))
        rows.append({"label": row.label, "cells": cells})
    return {
        "name": table.published.name,
        "title": table.published.title,
        "caption": table.published.caption,
        "is_published": table.published.is_published,
        "corner": table.corner,
        "columns": table.columns,
        "rows": rows,
        "remarks": [
            (text, ranges(numbers[result] for result in about)) for text, about in table.remarks
        ],
    }


def _test_set(entry: TestSet, per_class: list[list[str]]) -> dict[str, Any]:
    first = entry.results[0]
    return {
        "name": entry.name,
        "title": entry.title,
        "dataset": first.dataset,
        "videos": f"{len(first.scores.ids):,}",
        "classes": len(first.scores.classes),
        "results": len(entry.results),
        "measure": MEASURES[first.measure],
        "remarks": entry.remarks,
        "figures": [figure(panel) for panel in entry.panels],
        "per_class": {"name": f"per_class_{entry.name}.csv", "rows": per_class},
    }


def _result(result: Result, number: int, filled: Sequence[FilledTable]) -> dict[str, Any]:
    subset = "" if result.subset == selection.TEST else f", {result.subset}"
    parts = [
        {
            "weight": f"{part.weight:g}",
            "model": panels.model_name(part.model),
            "stream": panels.STREAMS.get(str(part.stream), part.stream),
            "run": part.run,
            "backbone": part.backbone,
            "cut": part.cut,
            "num_segments": part.num_segments,
            "protocol": part.protocol,
        }
        for part in result.parts
    ]
    return {
        "number": number,
        "set": selection.name_of(result) + subset,
        "model": panels.model_name(result.model),
        "stream": panels.STREAMS.get(str(result.stream), result.stream),
        "percent": percent(100 * result.value),
        "measure": "mAP" if result.measure == MAP else "accuracy",
        "videos": f"{len(result.scores.ids):,}",
        "parts": parts,
        "path": result.path,
        "used": _stands_in(result, filled) or "no table",
    }


def _stands_in(result: Result, filled: Sequence[tables.FilledTable]) -> str:
    found = [table.published.title.lower() for table in filled if result in table.results]
    return ", ".join(found)

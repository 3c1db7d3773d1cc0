"""The page: one file without scripts that loads nothing. Texts are escaped, images embedded."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from rlstm_tf.reporting import panels, selection, tables
from rlstm_tf.reporting.output import GENERATOR
from rlstm_tf.reporting.panels import TestSet
from rlstm_tf.reporting.published import TITLES
from rlstm_tf.reporting.results import Result
from rlstm_tf.reporting.tables import FilledTable, percent, ranges

PROTOCOLS = {
    "paper": "paper (4 groups, 5 crops; of multi-label videos 10 clips)",
    "center": "center (one view)",
}
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
    protocols: dict[str, list[Result]] = {}
    for result in numbers:
        for name in dict.fromkeys(part.protocol for part in result.parts):
            protocols.setdefault(PROTOCOLS.get(str(name), str(name)), []).append(result)
    deviations: dict[str, list[Result]] = {}
    for result in (result for entry in sets for result in entry.results):
        # The paper has results on these data sets only.
        if result.dataset in TITLES:
            for text in selection.deviations(result):
                deviations.setdefault(text, []).append(result)
    return fill(
        "report.html.j2",
        title=title,
        runs=runs,
        protocols=protocols,
        deviations=deviations,
        tables=filled,
        sets=sets,
        per_class=per_class,
        numbers=numbers,
        numbers_of=lambda found: ranges(numbers[result] for result in found),
        used_in={result: _used_in(result, filled) for result in numbers},
        measures=panels.MEASURES,
        describe=panels.describe,
        name_of=selection.name_of,
    )


def fill(template: str, **values: Any) -> str:
    """Fills in a template of `templates/`; texts are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlstm_tf.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        base64=lambda content: base64.b64encode(content).decode(),
        percent=percent,
        thousands="{:,}".format,
    )
    return environment.get_template(template).render(generator=Markup(GENERATOR), **values)


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
        rows.append([*described, weights, *parts, result.path, _used_in(result, filled)])
    return rows


def _used_in(result: Result, filled: Sequence[tables.FilledTable]) -> str:
    found = [table.published.title.lower() for table in filled if result in table.results]
    return ", ".join(found)

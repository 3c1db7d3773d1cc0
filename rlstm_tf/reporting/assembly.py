"""Makes all files of a report, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rlstm_tf.errors import UsageError
from rlstm_tf.reporting import measures, page, panels, published, selection, tables
from rlstm_tf.reporting.output import INDEX
from rlstm_tf.reporting.panels import TestSet
from rlstm_tf.reporting.results import ACCURACY, Result
from rlstm_tf.reporting.tables import percent


def assemble(
    results: Sequence[Result], runs: Sequence[str], title: str, videos: Sequence[str] = ()
) -> dict[str, bytes]:
    """Makes every file of a report.

    Args:
        results: from `read_results`.
        runs: directories that were searched, for the page.
        title: heading of the page.
        videos: ids for figure 4; chosen if empty.

    Returns:
        Content by path: `index.html`, `tables/...`, `figures/...`.

    Raises:
        DataError: two results fill one cell, or contradict each other.
        UsageError: one of `videos` is in no test set that has a figure 4.
    """
    groups = selection.test_sets(results)
    filled = [tables.fill(table, groups) for table in published.TABLES]
    _check_videos(videos, groups)
    sets: list[TestSet] = []
    for (dataset, split), group in groups.items():
        sets.append(panels.draw(_name(dataset, split, sets), group, videos))
    tested = [result for entry in sets for result in entry.results]
    known = {result.path for result in tested}
    every = tested + [result for result in results if result.path not in known]
    numbers = {result: number for number, result in enumerate(every, start=1)}
    per_class = {entry.name: _per_class_rows(entry, numbers) for entry in sets}
    files = {INDEX: page.render(title, runs, numbers, filled, sets, per_class)}
    for table in filled:
        files[f"tables/{table.published.name}.md"] = tables.to_markdown(table, numbers)
        files[f"tables/{table.published.name}.csv"] = tables.to_csv(tables.cells(table))
    files["tables/results.csv"] = tables.to_csv(page.results_rows(numbers, filled))
    for name, rows in per_class.items():
        files[f"tables/per_class_{name}.csv"] = tables.to_csv(rows)
    written = {path: text.encode() for path, text in files.items()}
    written.update({f"figures/{p.name}": p.png for entry in sets for p in entry.panels})
    return written


def _name(dataset: str, split: int, before: Sequence[TestSet]) -> str:
    """Returns a name for the files of a test set that no other set has."""
    name = panels.slug(dataset, split)
    taken = {entry.name for entry in before}
    while name in taken:
        name += "_"
    return name


def _check_videos(videos: Sequence[str], groups: Mapping[tuple[str, int], list[Result]]) -> None:
    pairs = [selection.pair(group) for group in groups.values()]
    shown = {
        video
        for pair in pairs
        if pair and pair[0].measure == ACCURACY
        for video in pair[0].scores.ids
    }
    for video in videos:
        if video not in shown:
            raise UsageError(
                f"--videos: {video!r} is in no test set with a result of two-branch and one of TSN"
            )


def _per_class_rows(entry: TestSet, numbers: Mapping[Result, int]) -> list[list[str]]:
    """Returns a head (`class`, `videos`, numbers of results) and a row for each class, percent."""
    columns = [measures.per_class(result) for result in entry.results]
    counts = measures.videos_per_class(entry.results[0])
    rows = [["class", "videos", *(str(numbers[result]) for result in entry.results)]]
    for k, name in enumerate(entry.results[0].scores.classes):
        values = [None if np.isnan(column[k]) else 100 * column[k] for column in columns]
        rows.append([name, str(counts[k]), *map(percent, values)])
    return rows

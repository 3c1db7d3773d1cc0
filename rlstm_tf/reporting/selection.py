"""Selects evaluations: for a cell of a table, for a figure, and the main one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import fusion
from rlstm_tf.reporting import published
from rlstm_tf.reporting.published import PROTOCOL, SPATIAL, STREAMS, TEMPORAL, TWO_STREAM, Row
from rlstm_tf.reporting.results import MAP, Result

# Models with a recurrent branch behind the cut; the cut changes nothing in the others.
_CUT_MATTERS = ("two_branch", "rlstm", "convlstm", "transformer")
TEST = "test"
TWO_BRANCH = Row("Two-branch", (), ("two_branch",))
TSN = Row("TSN", (), ("tsn",))


def candidates(results: Sequence[Result], row: Row, stream: str) -> list[Result]:
    """Returns the results of a row's networks on one stream or both that match the row best.

    Unless the row is exact, a result with another T or cut is better than none. The paper's
    protocol precedes any other.

    Args:
        results: results on one data set, split and subset.
        row: row of a table.
        stream: `spatial`, `temporal` or `two_stream`.

    Returns:
        Several results if they match equally well.
    """
    streams = (SPATIAL, TEMPORAL) if stream == TWO_STREAM else (stream,)
    networks = sorted((model, stream) for model in row.models for stream in streams)
    ranks: dict[tuple[int, bool], list[Result]] = {}
    for result in results:
        if sorted((str(part.model), str(part.stream)) for part in result.parts) != networks:
            continue
        closeness = _has_segments(result, row) + _has_cut(result, row)
        if closeness == 2 or not row.exact:
            ranks.setdefault((closeness, result.protocol == PROTOCOL), []).append(result)
    return ranks[max(ranks)] if ranks else []


def find(results: Sequence[Result], row: Row, stream: str) -> Result | None:
    """Returns the result that fills a cell, or None.

    Raises:
        DataError: two results fill it; names both.
    """
    found = candidates(results, row, stream)
    if len(found) > 1:
        raise DataError(
            f"{found[0].path} and {found[1].path} are both {row.label}, {stream}, "
            f"{name_of(found[0])}: leave one out of --runs"
        )
    return found[0] if found else None


def first(results: Sequence[Result], row: Row, stream: str) -> Result | None:
    """Returns the first result that fills a cell, or None; for data sets without a table."""
    return next(iter(candidates(results, row, stream)), None)


def pair(results: Sequence[Result]) -> tuple[Result, Result] | None:
    """Returns two-branch and TSN on the same stream, two-stream first, for figures 3 and 4."""
    for stream in reversed(STREAMS):
        ours, other = (first(results, row, stream) for row in (TWO_BRANCH, TSN))
        if ours and other:
            return ours, other
    return None


def main_result(results: Sequence[Result]) -> Result:
    """Returns the two-stream two-branch result if there is one, else the best; first of equals."""
    return first(results, TWO_BRANCH, TWO_STREAM) or max(results, key=lambda result: result.value)


def test_sets(results: Sequence[Result]) -> dict[tuple[str, int], list[Result]]:
    """Groups the results on test sets by data set and split, with the same order of videos.

    Raises:
        DataError: two results on one test set have different videos, labels or classes.
    """
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        if result.subset == TEST and result.dataset is not None:
            groups.setdefault((result.dataset, result.split or 0), []).append(result)
    # The paper's data sets in its order, then others by name.
    place = {name: number for number, name in enumerate(published.TITLES)}
    keys = sorted(groups, key=lambda key: (place.get(key[0], len(place)), key))
    return {key: _aligned(groups[key]) for key in keys}


def name_of(result: Result) -> str:
    """Returns data set and split, as in pages and errors."""
    title = published.TITLES.get(str(result.dataset), str(result.dataset))
    return f"{title} split {result.split}" if result.split else title


def deviations(result: Result) -> list[str]:
    """Lists how a result deviates from the paper's, except for T and the cut."""
    texts = []
    protocols = {part.protocol for part in result.parts} - {PROTOCOL}
    paper = "10 clips" if result.measure == MAP else "4 groups, 5 crops"
    texts += [f"protocol {name} (paper: {paper})" for name in sorted(map(str, protocols))]
    backbones = {part.backbone for part in result.parts} - {published.BACKBONE}
    texts += [f"backbone {name} (paper: ResNet-101 v2)" for name in sorted(map(str, backbones))]
    official = published.TEST_VIDEOS.get((str(result.dataset), result.split or 0))
    if official and official != len(result.scores.ids):
        texts.append(f"{len(result.scores.ids):,} videos (the official test set has {official:,})")
    return texts


def other_network(result: Result, row: Row) -> list[str]:
    """Lists T and the cut of a result where they differ from those of its row."""
    texts = []
    if not _has_segments(result, row):
        found = sorted({str(part.num_segments) for part in result.parts})
        texts.append(f"T = {', '.join(found)} (paper: {row.num_segments})")
    if not _has_cut(result, row):
        found = sorted({str(part.cut) for part in result.parts if part.model in _CUT_MATTERS})
        texts.append(f"cut {', '.join(found)} (paper: {row.cut})")
    return texts


def _has_segments(result: Result, row: Row) -> bool:
    return all(part.num_segments == row.num_segments for part in result.parts)


def _has_cut(result: Result, row: Row) -> bool:
    return all(part.cut == row.cut for part in result.parts if part.model in _CUT_MATTERS)


def _aligned(results: list[Result]) -> list[Result]:
    """Returns the results with their videos in the order of the first one."""
    paths = [result.path for result in results]
    try:
        scores = fusion.align([result.scores for result in results], paths)
    except DataError as error:
        raise DataError(f"{name_of(results[0])}: {error}; report them separately") from None
    return [dataclasses.replace(result, scores=own) for result, own in zip(results, scores)]

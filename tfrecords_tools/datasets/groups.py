"""Groups of videos that belong together, such as the parts of one recording."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable

from rlstm_tf.errors import DataError, UsageError

# A stem and the number of a part. The words of the first are hardly used to number all videos of a
# class. Dates and times do not count as parts.
_PART = re.compile(
    r"(.*?[^\W_])(?:[\W_]+|(?<=\d))(?:take|part|pt|seg|segment|chunk|piece)[\W_]*\d{1,4}\W*", re.I
)
_NUMBER = re.compile(r"(.*?[a-z].*?)[\W_]+(?:clip|scene|shot|cut|c|p|s|t)?[\W_]*\d{1,4}\W*", re.I)


def match_groups(ids: Iterable[str], pattern: str) -> dict[str, str]:
    """Returns the group of each video: what a regular expression finds in its id.

    Args:
        ids: ids of the videos.
        pattern: regular expression; its first group counts, or the whole match if it has none.

    Raises:
        UsageError: the pattern is not a regular expression.
        DataError: it finds nothing in some ids; says in how many, and names three.
    """
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"--group_by={pattern} is not a regular expression: {error}") from None
    groups, without = {}, []
    for video in ids:
        match = expression.search(video)
        if group := match and match[min(expression.groups, 1)]:
            groups[video] = group
        else:
            without.append(video)
    if without:
        names = ", ".join(map(repr, without[:3]))
        raise DataError(
            f"--group_by={pattern} finds no group in {len(without)} of "
            f"{len(without) + len(groups)} videos: {names}{', ...' if without[3:] else ''}"
        )
    return groups


def guess_recordings(ids: Iterable[str]) -> dict[str, list[str]]:
    """Finds videos whose names differ only in the number of a part: `kitchen3_take2.mp4`.

    Where all numbered names of a class's folder have one stem, the numbers count its videos and say
    nothing about recordings, unless there is a word such as `take` before them.

    Args:
        ids: paths of the videos.

    Returns:
        The ids of each recording of two videos or more, by a name for it.
    """
    recordings: defaultdict[str, list[str]] = defaultdict(list)
    numbered: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for video in ids:
        folder, name = os.path.split(video)
        stem = os.path.splitext(name)[0]
        if match := _PART.fullmatch(stem):
            recordings[match[1]].append(video)
        elif match := _NUMBER.fullmatch(stem):
            # Of any subset: train/wave/ann_1.mp4 and test/wave/ann_2.mp4.
            numbered[os.path.basename(folder)][match[1]].append(video)
    for folder, stems in numbered.items():
        several = {stem: names for stem, names in stems.items() if len(names) > 1}
        if len(several) > 1:
            recordings.update((f"{folder}/{stem}", names) for stem, names in several.items())
    return {recording: names for recording, names in recordings.items() if len(names) > 1}

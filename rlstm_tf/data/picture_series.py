"""Names and order of the pictures in a folder that holds the frames of one video."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from rlstm_tf.data.video_names import is_hidden_name, is_picture_name
from rlstm_tf.storage.files import file_sizes, list_directory

_NUMBERS = re.compile(r"([0-9]+)")


def picture_sizes(folder: str) -> dict[str, int]:
    """Returns the size of each picture in a folder, bytes, by name; hidden files do not count.

    Args:
        folder: local or remote.

    Raises:
        DataError: the folder cannot be read.
    """
    names = [n for n in list_directory(folder) if is_picture_name(n) and not is_hidden_name(n)]
    sizes = file_sizes([os.path.join(folder, name) for name in names])
    return {name: size for name, size in zip(names, sizes) if size is not None}


def order_pictures(names: Iterable[str]) -> list[str]:
    """Orders the pictures of a video by the number in their names.

    The names are alike but for one number: `img_00001.jpg`, `img_00002.jpg`. It may start anywhere,
    and may have leading zeros.

    Args:
        names: file names, at least one.

    Raises:
        ValueError: the names are not those of one series, or a number is missing or there twice.
    """
    parts = {name: _NUMBERS.split(os.path.splitext(name)[0]) for name in sorted(names)}
    series: dict[tuple[str, ...], str] = {}
    for name, pieces in parts.items():
        series.setdefault(tuple(pieces[::2]), name)
    if len(series) > 1:
        first, second = list(series.values())[:2]
        raise ValueError(
            f"holds pictures of {len(series)} series, such as {first} and {second}: "
            "a folder holds one"
        )
    numbers = [[int(digits) for digits in pieces[1::2]] for pieces in parts.values()]
    varying = [column for column, values in enumerate(zip(*numbers)) if len(set(values)) > 1]
    if len(varying) > 1:
        raise ValueError(
            f"holds pictures whose names differ in {len(varying)} numbers, such as "
            f"{min(parts)} and {max(parts)}: only one may count"
        )
    ordered: dict[int, str] = {}
    for name, row in zip(parts, numbers):
        number = row[varying[0]] if varying else 0
        if number in ordered:
            raise ValueError(f"holds two pictures of one number, {ordered[number]} and {name}")
        ordered[number] = name
    order = sorted(ordered)
    missing = order[-1] - order[0] + 1 - len(order)
    if missing:
        gap = next(first for first, second in zip(order, order[1:]) if second > first + 1)
        after = order[order.index(gap) + 1]
        raise ValueError(
            f"lacks {missing} of {missing + len(order)} pictures, the first between "
            f"{ordered[gap]} and {ordered[after]}"
        )
    return [ordered[number] for number in order]

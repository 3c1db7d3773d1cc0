"""What is printed for people to read: names that cannot harm a terminal, and bars that fit it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_PERCENT = len("100.0 %")


def readable(name: str) -> str:
    """A name of a file as text: bytes of it that are no UTF-8 as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(text: str, encoding: str = "utf-8") -> str:
    """Text on one line, with all that steers a terminal, or cannot be encoded, as `\\x1b` and such.

    Args:
        text: any, names of files too.
        encoding: of where it is printed.
    """
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in readable(text)
    )
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def columns(text: str) -> int:
    """How wide a terminal shows printable text."""
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "FW")
        for one in text
    )


def fitted(text: str, width: int) -> str:
    """Printable text cut or filled to `width` columns; `~` stands for what is cut."""
    if columns(text) > width:
        while text and columns(text) > width - 1:
            text = text[:-1]
        text += "~"[:width]
    return text + " " * (width - columns(text))


def bar(share: float, width: int, encoding: str = "utf-8") -> str:
    """A bar of `width` columns, filled from the left by a share 0..1; in eighths if it can be."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    try:
        (_FULL + _EIGHTHS).encode(encoding)
    except UnicodeEncodeError:
        return ("#" * round(eighths / 8)).ljust(width)
    return (_FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(width)


def ranking(rows: Sequence[tuple[str, float]], width: int, encoding: str = "utf-8") -> list[str]:
    """A line for each label: it, a bar and percent.

    Args:
        rows: label, any text, and share 0..1.
        width: columns of a line.
        encoding: of where they are printed.
    """
    labels = [printable(label, encoding) for label, _ in rows]
    # Two columns before each part.
    names = min(max(map(columns, labels), default=0), max((width - 6 - _PERCENT) // 2, 1))
    bars = max(width - 6 - names - _PERCENT, 0)
    return [
        f"  {fitted(label, names)}  {bar(share, bars, encoding)}  {_percent(share)}"
        for label, (_, share) in zip(labels, rows)
    ]


def schedule(
    rows: Sequence[tuple[float, float, str, float]], width: int, encoding: str = "utf-8"
) -> list[str]:
    """A line for each part of a video: start and end in seconds, label and percent.

    Args:
        rows: start, end, label, any text, and share 0..1; in order.
        width: columns of a line.
        encoding: of where they are printed.
    """
    digits = max(len(f"{end:.2f}") for _, end, _, _ in rows)
    times = [f"  {start:{digits}.2f} - {end:{digits}.2f} s  " for start, end, _, _ in rows]
    if rows[-1][1] >= 60:
        # As a player shows it.
        times = [f"{time}{_clock(row[0])}  " for time, row in zip(times, rows)]
    labels = [printable(row[2], encoding) for row in rows]
    names = max(min(max(map(columns, labels)), width - len(times[0]) - 2 - _PERCENT), 1)
    return [
        f"{time}{fitted(label, names)}  {_percent(row[3])}"
        for time, label, row in zip(times, labels, rows)
    ]


def _percent(share: float) -> str:
    return f"{100 * share:5.1f} %"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"

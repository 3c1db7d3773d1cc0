"""Output for people: progress bars, tables that fit the terminal."""

from __future__ import annotations

import contextlib
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from rlstm_tf.errors import DataError
from rlstm_tf.messages import escape

# Ten lines a second, tqdm's default, would fill a log file.
_SECONDS_BETWEEN_LOG_LINES = 30.0
# tqdm's default, without its switch to seconds per unit below one unit per second.
_PROGRESS = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_PERCENT = len("100.0 %")
_SECONDS_BETWEEN_COUNTS = 5.0


def progress_bar(total: int, desc: str, unit: str, **options: Any) -> tqdm:
    """Starts a progress bar with rate and time left on standard error, on a terminal or in a log.

    Args:
        total: units of work; 0 = unknown.
        desc: name of the work, any text.
        unit: unit of work, plural.
        **options: further arguments of `tqdm`.
    """
    interval = 0.1 if sys.stderr.isatty() else _SECONDS_BETWEEN_LOG_LINES
    options = {"bar_format": _PROGRESS, "mininterval": interval, **options}
    return tqdm(total=total or None, desc=escape(desc), unit=f" {unit}", **options)


@contextlib.contextmanager
def counted_progress(count: Callable[[], int], total: int, desc: str, unit: str) -> Iterator[None]:
    """Shows the progress of work that other processes or machines finish.

    Args:
        count: returns how many units are finished; called in a thread every few seconds. A
            DataError, of a store that does not answer, counts only at the start.
        total, desc, unit: as for `progress_bar`.

    Raises:
        DataError: the first count failed.
    """
    ended = threading.Event()

    def update() -> None:
        # A store that does not answer may do so the next time; only the bar depends on it.
        with contextlib.suppress(DataError):
            progress.update(count() - progress.n)

    def poll() -> None:
        while not ended.wait(_SECONDS_BETWEEN_COUNTS):
            update()

    with progress_bar(total, desc, unit, initial=count()) as progress:
        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            update()


def say_above(bar: tqdm, line: str) -> None:
    """Prints a line as `rlstm_tf.messages.say` does, above a bar that goes on."""
    bar.write(escape(line, sys.stdout.encoding or "utf-8"))


def display_width(text: str) -> int:
    """Counts the terminal columns of escaped text."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "FW")
        for char in text
    )


def fit(text: str, width: int) -> str:
    """Pads escaped text to `width` columns, or cuts it and ends it with `~`."""
    if display_width(text) > width:
        while text and display_width(text) > width - 1:
            text = text[:-1]
        text += "~"[:width]
    return text + " " * (width - display_width(text))


def format_bar(share: float, width: int, encoding: str = "utf-8") -> str:
    """Draws a share 0..1 as a bar of `width` columns, in eighths if the encoding has them."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    try:
        (_FULL + _EIGHTHS).encode(encoding)
    except UnicodeEncodeError:
        return ("#" * round(eighths / 8)).ljust(width)
    return (_FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(width)


def format_ranking(
    rows: Sequence[tuple[str, float]], width: int, encoding: str = "utf-8"
) -> list[str]:
    """Formats each label as a line with a bar and its percentage.

    Args:
        rows: label, any text, and share 0..1.
        width: columns of a line.
        encoding: encoding of the output.
    """
    labels = [escape(label, encoding) for label, _ in rows]
    # Each of the three columns follows two spaces.
    names = min(max(map(display_width, labels), default=0), max((width - 6 - _PERCENT) // 2, 1))
    bars = max(width - 6 - names - _PERCENT, 0)
    return [
        f"  {fit(label, names)}  {format_bar(share, bars, encoding)}  {_percent(share)}"
        for label, (_, share) in zip(labels, rows)
    ]


def format_timeline(
    rows: Sequence[tuple[float, float, str, float]], width: int, encoding: str = "utf-8"
) -> list[str]:
    """Formats each interval of a video as a line with times, label and percentage.

    Args:
        rows: start and end in seconds, label, any text, and share 0..1; in order.
        width: columns of a line.
        encoding: encoding of the output.
    """
    digits = max(len(f"{end:.2f}") for _, end, _, _ in rows)
    times = [f"  {start:{digits}.2f} - {end:{digits}.2f} s  " for start, end, _, _ in rows]
    if rows[-1][1] >= 60:
        # The start again, as video players show it.
        times = [f"{time}{_clock(row[0])}  " for time, row in zip(times, rows)]
    labels = [escape(row[2], encoding) for row in rows]
    names = max(min(max(map(display_width, labels)), width - len(times[0]) - 2 - _PERCENT), 1)
    return [
        f"{time}{fit(label, names)}  {_percent(row[3])}"
        for time, label, row in zip(times, labels, rows)
    ]


def _percent(share: float) -> str:
    return f"{100 * share:5.1f} %"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"

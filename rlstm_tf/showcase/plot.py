"""The plot of a video's classes over time, on which a click is a time."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rlstm_tf.showcase.analysis import Analysis

MOST_CLASSES = 5
# Okabe and Ito, "Color Universal Design", 2008; dashes for readers who cannot tell them apart.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_OTHER = "#bbbbbb"
_INCHES, _DPI = (10.0, 3.6), 160
# Pixels.
WIDTH = round(_INCHES[0] * _DPI)
# Edges of the axes, as shares of the picture. The legend is right of them, and above is the place
# of the page's own label.
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.065, 0.77, 0.15, 0.87
# The strip of the most probable class, above the curves, in percent.
_STRIP = (104, 112)
# Letters of a class in the legend.
_LONGEST = 24
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # A class name may hold dollar signs.
    "text.parse_math": False,
}


def draw(analysis: Analysis, at: float) -> np.ndarray:
    """Draws the probabilities of a video's classes over time.

    Args:
        analysis: the video, classified.
        at: time that is marked, seconds.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    edges = np.append(analysis.pieces[:, 0], analysis.pieces[-1, 1])
    chosen = choose_classes(analysis)
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=_INCHES, dpi=_DPI)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((_LEFT, _BOTTOM, _RIGHT - _LEFT, _TOP - _BOTTOM))
        for number, color, dashes in zip(chosen, _COLORS, _DASHES):
            values = 100 * analysis.probabilities[:, number]
            axes.stairs(
                *(values, edges),
                baseline=None,
                color=color,
                linestyle=dashes,
                linewidth=1.8,
                label=_shorten(analysis.classes[number]),
            )
        for start, end, values in analysis.intervals():
            best = int(values.argmax())
            color = _COLORS[chosen.index(best)] if best in chosen else _OTHER
            axes.axvspan(start, end, *_in_axes(_STRIP), color=color, linewidth=0)
        axes.axvline(at, color="black", linewidth=1)
        axes.set(xlim=(0, edges[-1]), ylim=(0, _STRIP[1]), yticks=range(0, 101, 25))
        axes.set(xlabel="time, seconds", ylabel="probability, %")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, handlelength=2.6)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def time_at(x: float, end: float) -> float:
    """Returns the time below a column of the picture, within the video.

    Args:
        x: column, pixels from the left.
        end: length of the video, seconds.
    """
    share = (x / WIDTH - _LEFT) / (_RIGHT - _LEFT)
    return min(max(share, 0.0), 1.0) * end


def choose_classes(analysis: Analysis) -> list[int]:
    """Chooses the classes to draw: those that are the most probable for longest, then by mean."""
    lengths = np.diff(analysis.pieces, axis=1)
    on_top = np.zeros(analysis.probabilities.shape[1])
    np.add.at(on_top, analysis.probabilities.argmax(axis=1), lengths[:, 0])
    means = (analysis.probabilities * lengths).sum(axis=0)
    # The last key counts first.
    return np.lexsort((-means, -on_top))[:MOST_CLASSES].tolist()


def _in_axes(span: tuple[float, float]) -> tuple[float, float]:
    return span[0] / _STRIP[1], span[1] / _STRIP[1]


def _shorten(name: str) -> str:
    # A line break would push the legend out of the picture.
    name = " ".join(name.split())
    name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    # Matplotlib leaves labels with a leading underscore out of the legend.
    return "\N{ZERO WIDTH SPACE}" + name if name.startswith("_") else name

"""Figures for a paper as PNG files: 200 dots per inch, one column or a page wide.

Right and wrong differ in color and, for readers who cannot see it, in hatching and mark. Colors:
Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

DPI = 200
COLUMN, PAGE = 3.4, 7.0  # inches
RIGHT, WRONG = "#0072b2", "#e69f00"
_MARK_RIGHT, _MARK_WRONG = "\u2713", "\u2717"
GREY = "#d9d9d9"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.6,
    # A class name may hold dollar signs.
    "text.parse_math": False,
}
# Up to this many classes, the cells of a confusion matrix show their numbers.
_NUMBERED = 12

Ranking = Sequence[tuple[str, float, bool]]


def gains(names: Sequence[str], points: Sequence[float], xlabel: str) -> bytes:
    """Draws figure 3: horizontal bars, the first on top.

    Args:
        names: classes.
        points: percentage points; losses are hatched.
        xlabel: label of the x axis.

    Returns:
        A PNG file.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(COLUMN, 0.75 + 0.2 * len(names))
        bars = axes.barh(np.arange(len(names)), points, height=0.7)
        for bar, value in zip(bars, points):
            bar.set(**_bar_style(value >= 0))
        texts = [f"{value:+.1f}" if round(value, 1) else "0.0" for value in points]
        axes.bar_label(bars, texts, padding=1.5, fontsize=7)
        _name_rows(axes, names)
        axes.axvline(0, color="black", linewidth=0.6)
        # Room for the labels.
        axes.margins(x=0.25)
        axes.set_xlabel(xlabel)
        return to_png(figure)


def per_class(names: Sequence[str], percent: Sequence[float], xlabel: str) -> bytes:
    """Draws horizontal bars from 0 to 100, in two columns if there are more than 30.

    Args:
        names: classes.
        percent: percentage by class; NaN = no video, and is marked so.
        xlabel: label of the x axis.

    Returns:
        A PNG file.
    """
    columns = 1 if len(names) <= 30 else 2
    rows = -(-len(names) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, 0.7 + 0.13 * max(rows, 6)))
        panels = figure.subplots(1, columns, squeeze=False)[0]
        for number, axes in enumerate(panels):
            part = slice(number * rows, (number + 1) * rows)
            values = np.asarray(percent[part])
            axes.barh(np.arange(len(values)), np.nan_to_num(values), height=0.72, color=RIGHT)
            for row in np.flatnonzero(np.isnan(values)):
                axes.text(1, row, "no video", va="center", fontsize=5.5)
            _name_rows(axes, names[part], fontsize=6 if columns == 2 else 7)
            axes.set_ylim(rows - 0.4, -0.6)
            axes.set_xlim(0, 100)
            axes.set_xlabel(xlabel)
            axes.grid(axis="x", color=GREY, linewidth=0.5)
            axes.set_axisbelow(True)
        figure.set_layout_engine("constrained")
        return to_png(figure)


def confusion(names: Sequence[str], share: np.ndarray) -> bytes:
    """Draws a confusion matrix; colors scale with the root of the share, so that 2 % is visible.

    Args:
        names: K classes.
        share: `[K, K]`, 0..1, a row for each true class.

    Returns:
        A PNG file.
    """
    count = len(names)
    side = float(np.clip(1.6 + 0.084 * count, COLUMN + 0.4, 11))
    fontsize = float(np.clip(72 * (side - 1.6) / count * 0.8, 3.5, 7.5))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(side, side)
        image = axes.imshow(share * 100, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
        short = [_short(name) for name in names]
        axes.set_xticks(range(count), short, rotation=90, fontsize=fontsize)
        axes.set_yticks(range(count), short, fontsize=fontsize)
        axes.tick_params(length=1.5, pad=1.5)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        for spine in axes.spines.values():
            spine.set_visible(True)
        if count <= _NUMBERED:
            for row, column in np.argwhere(share >= 0.005):
                color = "white" if share[row, column] > 0.35 else "black"
                text = f"{100 * share[row, column]:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=(0, 5, 20, 50, 100))
        bar.set_label("% of the true class")
        bar.outline.set_linewidth(0.6)
        return to_png(figure, trim=True)


def video(
    frames: Sequence[np.ndarray], truth: str, rankings: Sequence[tuple[str, Ranking]]
) -> bytes:
    """Draws a video of figure 4: its frames in a row, and the first classes of two networks below.

    It is legible at half its width, one column of a paper.

    Args:
        frames: uint8 `[H, W, 3]`, RGB; empty if the videos are not available.
        truth: name of the true class.
        rankings: name of each network and its first classes: name, probability, true if right.

    Returns:
        A PNG file.
    """
    strip = 0.0
    step = 0.986 / max(len(frames), 1)
    if frames:
        height, width = frames[0].shape[:2]
        strip = PAGE * (step - 0.006) * height / width
    rows = max(len(ranking) for _, ranking in rankings)
    heights = [0.42, strip, 0.36 + 0.42 * rows]
    total = sum(heights) + 0.1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, total))
        figure.text(
            0.01, 1 - 0.1 / total, f"True class: {_short(truth, 48)}", va="top", fontsize=14
        )
        for number, frame in enumerate(frames):
            bottom = (heights[2] + 0.1) / total
            box = (0.01 + number * step, bottom, step - 0.006, strip / total)
            axes = figure.add_axes(box)
            axes.imshow(frame, aspect="auto")
            axes.set_axis_off()
        for number, (network, ranking) in enumerate(rankings):
            width = 0.98 / len(rankings) - 0.03
            left = 0.01 + number * (width + 0.06)
            axes = figure.add_axes((left, 0.01, width, heights[2] / total - 0.01))
            _draw_ranking(axes, network, ranking, rows)
        return to_png(figure)


def _draw_ranking(axes: Any, network: str, ranking: Ranking, rows: int) -> None:
    """Draws bars of probability, each below the name of its class."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(rows, -0.85)
    is_right = bool(ranking) and ranking[0][2]
    mark = _MARK_RIGHT if is_right else _MARK_WRONG
    axes.text(0, -0.35, f"{mark} {network}", fontsize=13, weight="bold")
    for row, (name, probability, right) in enumerate(ranking):
        weight = "bold" if right else "normal"
        text = f"{_MARK_RIGHT} {_short(name, 26)}" if right else _short(name, 28)
        axes.text(0, row + 0.42, text, fontsize=11.5, weight=weight)
        axes.text(1, row + 0.42, f"{100 * probability:.1f} %", fontsize=11.5, ha="right")
        axes.barh(row + 0.66, 1, height=0.26, color="#f0f0f0")
        axes.barh(row + 0.66, probability, height=0.26, clip_on=False, **_bar_style(right))


def _bar_style(right: bool) -> dict[str, Any]:
    if right:
        return {"facecolor": RIGHT, "edgecolor": RIGHT, "linewidth": 0.6}
    return {"facecolor": WRONG, "edgecolor": "black", "linewidth": 0.6, "hatch": "/////"}


def new_figure(width: float, height: float) -> tuple[Figure, Any]:
    """Returns a figure with one pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _name_rows(axes: Any, names: Sequence[str], fontsize: float = 8) -> None:
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=fontsize)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _short(name: str, length: int = 26) -> str:
    """Returns a name on one line, shortened to `length`."""
    name = " ".join(name.split())
    return name if len(name) <= length else name[: length - 1] + "\u2026"


def to_png(figure: Figure, trim: bool = False) -> bytes:
    """Renders a figure as a PNG file; `trim` removes its empty margins."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        margin: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.03} if trim else {}
        figure.savefig(file, format="png", dpi=DPI, facecolor="white", **margin)
    return file.getvalue()

"""Figures of the relational benchmark, in the style of `rlstm_tf.reporting.figures`.

Settings differ in color (Okabe and Ito, "Color Universal Design", 2008) and, for readers who cannot
see it, in hatching or in the dashes of their line.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rlstm_tf.reporting.figures import GREY, PAGE, STYLE, new_figure, to_png

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_HATCHES = ("", "/////", "....", "xxxx", "-----")
_DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
CHANCE = 50


def bars(labels: Sequence[str], means: pd.DataFrame, deviations: pd.DataFrame) -> bytes:
    """Draws a bar for each setting in each group, from chance up or down, with its deviation.

    Args:
        labels: names of the settings.
        means: `[settings, groups]`, percent; NaN is marked as missing.
        deviations: of the same shape; NaN = none.

    Returns:
        A PNG file.
    """
    groups = list(means)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(PAGE, _height(labels))
        width = 0.84 / len(labels)
        # A deviation of 0 has no line.
        deviations = deviations.where(deviations > 0)
        styles = zip(itertools.cycle(_COLORS), itertools.cycle(_HATCHES))
        rows = zip(labels, means.to_numpy(), deviations.to_numpy(), styles)
        for number, (label, mean, deviation, (color, hatch)) in enumerate(rows):
            places = np.arange(len(groups)) + (number - (len(labels) - 1) / 2) * width
            axes.bar(
                *(places, mean - CHANCE, 0.9 * width),
                bottom=CHANCE,
                label=label,
                facecolor=color,
                edgecolor="black",
                linewidth=0.6,
                hatch=hatch,
                yerr=deviation,
                capsize=min(2.0, 20 * width),
                error_kw={"ecolor": "black", "elinewidth": 0.8},
            )
            for place in places[np.isnan(mean)]:
                axes.text(place, CHANCE + 1, "none", ha="center", rotation=90, fontsize=6)
        axes.axhline(CHANCE, color="black", linewidth=0.8)
        right = len(groups) - 0.5
        axes.text(right, CHANCE, " chance", va="center", fontsize=7)
        axes.set_xlim(-0.5, right)
        ends = deviations.fillna(0)
        lowest, highest = (means - ends).min(axis=None), (means + ends).max(axis=None)
        # Compared with NaN, the constant stays.
        axes.set_ylim(min(40, lowest - 2), max(100, highest) + 1)
        axes.set_xticks(range(len(groups)), groups)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("accuracy within pairs (%)")
        axes.grid(axis="y", color=GREY, linewidth=0.5)
        axes.set_axisbelow(True)
        _legend(figure, axes, labels)
        return to_png(figure)


def curves(
    labels: Sequence[str], means: Sequence[pd.Series], deviations: Sequence[pd.Series]
) -> bytes:
    """Draws a line for each setting, in a band of one deviation up and down.

    Args:
        labels: names of the settings.
        means: percent by epoch, for each setting.
        deviations: the same; NaN = none.

    Returns:
        A PNG file.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(PAGE, _height(labels))
        styles = zip(itertools.cycle(_COLORS), itertools.cycle(_DASHES))
        for label, mean, deviation, (color, dashes) in zip(labels, means, deviations, styles):
            marker = "o" if len(mean) == 1 else None
            axes.plot(
                *(mean.index, mean),
                label=label,
                color=color,
                linestyle=dashes,
                linewidth=1.3,
                marker=marker,
            )
            band = (mean - deviation.fillna(0), mean + deviation.fillna(0))
            axes.fill_between(mean.index, *band, color=color, alpha=0.2, linewidth=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy,\nall classes (%)")
        axes.grid(axis="y", color=GREY, linewidth=0.5)
        axes.margins(x=0.01)
        _legend(figure, axes, labels)
        return to_png(figure)


def _columns(labels: Sequence[str]) -> int:
    """Returns the columns of the legend: a line holds about 110 letters, a key is as wide as 8."""
    lengths = [len(label) + 8 for label in labels]
    return len(labels) if sum(lengths) <= 110 else max(110 // max(lengths), 1)


def _height(labels: Sequence[str]) -> float:
    """Returns the height of a figure, so that a long legend does not shrink its axes."""
    return 2.5 + 0.16 * -(-len(labels) // _columns(labels))


def _legend(figure: Figure, axes: Any, labels: Sequence[str]) -> None:
    """Draws the legend above the axes."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=_columns(labels),
        frameon=False,
        fontsize=7.5,
        handlelength=2.6,
    )

"""Figures of the relational benchmark, in the style of `rlstm_tf.reporting.figures`.

Settings differ in colour (of Okabe and Ito, "Color Universal Design", 2008) and, for readers who
see none, in hatching or in the dashes of their line.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from rlstm_tf.reporting.benchmark.spread import Spread
from rlstm_tf.reporting.figures import GREY, PAGE, STYLE, new_figure, to_png

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_HATCHES = ("", "/////", "....", "xxxx", "-----")
_DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
CHANCE = 50


def bars(
    labels: Sequence[str], groups: Sequence[str], spreads: Sequence[Sequence[Spread | None]]
) -> bytes:
    """A bar for each setting in each group, from chance up or down, with its deviation.

    Args:
        labels: settings.
        groups: of pairs of classes.
        spreads: `[settings][groups]`, percent; None is said to be missing.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(PAGE, _height(labels))
        width = 0.84 / len(labels)
        lowest, highest = 40.0, 100.0
        styles = zip(itertools.cycle(_COLOURS), itertools.cycle(_HATCHES))
        for number, (label, own, (colour, hatch)) in enumerate(zip(labels, spreads, styles)):
            means = np.array([s.mean if s else np.nan for s in own])
            deviations = np.array([(s.deviation or 0) if s else np.nan for s in own])
            places = np.arange(len(groups)) + (number - (len(labels) - 1) / 2) * width
            axes.bar(
                *(places, means - CHANCE, 0.9 * width),
                bottom=CHANCE,
                label=label,
                facecolor=colour,
                edgecolor="black",
                linewidth=0.6,
                hatch=hatch,
            )
            measured = deviations > 0
            axes.errorbar(
                *(places[measured], means[measured], deviations[measured]),
                fmt="none",
                ecolor="black",
                elinewidth=0.8,
                capsize=min(2.0, 20 * width),
            )
            for place in places[np.isnan(means)]:
                axes.text(place, CHANCE + 1, "none", ha="center", rotation=90, fontsize=6)
            if not np.isnan(means).all():
                lowest = min(lowest, float(np.nanmin(means - deviations)) - 2)
                highest = max(highest, float(np.nanmax(means + deviations)))
        axes.axhline(CHANCE, color="black", linewidth=0.8)
        right = len(groups) - 0.5
        axes.text(right, CHANCE, " chance", va="center", fontsize=7)
        axes.set_xlim(-0.5, right)
        axes.set_ylim(lowest, highest + 1)
        axes.set_xticks(range(len(groups)), groups)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("accuracy within pairs (%)")
        axes.grid(axis="y", color=GREY, linewidth=0.5)
        axes.set_axisbelow(True)
        _legend(figure, axes, labels)
        return to_png(figure)


def curves(labels: Sequence[str], courses: Sequence[Sequence[tuple[int, Spread]]]) -> bytes:
    """Lines by epoch, each in a band as wide as its deviation.

    Args:
        labels: settings.
        courses: of each setting its epochs and what its seeds reach there, percent.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(PAGE, _height(labels))
        styles = zip(itertools.cycle(_COLOURS), itertools.cycle(_DASHES))
        for label, course, (colour, dashes) in zip(labels, courses, styles):
            epochs = [epoch for epoch, _ in course]
            means = np.array([spread.mean for _, spread in course])
            deviations = np.array([spread.deviation or 0 for _, spread in course])
            marker = "o" if len(epochs) == 1 else None
            axes.plot(
                *(epochs, means),
                label=label,
                color=colour,
                linestyle=dashes,
                linewidth=1.3,
                marker=marker,
            )
            band = (means - deviations, means + deviations)
            axes.fill_between(epochs, *band, color=colour, alpha=0.2, linewidth=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy,\nall classes (%)")
        axes.grid(axis="y", color=GREY, linewidth=0.5)
        axes.margins(x=0.01)
        _legend(figure, axes, labels)
        return to_png(figure)


def _columns(labels: Sequence[str]) -> int:
    """Of the legend: one line if some 110 letters hold it, a key being as wide as 8."""
    lengths = [len(label) + 8 for label in labels]
    return len(labels) if sum(lengths) <= 110 else max(110 // max(lengths), 1)


def _height(labels: Sequence[str]) -> float:
    """Of a figure, so that its axes do not shrink where the legend is long."""
    return 2.5 + 0.16 * -(-len(labels) // _columns(labels))


def _legend(figure: Figure, axes: Any, labels: Sequence[str]) -> None:
    """Above the axes."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=_columns(labels),
        frameon=False,
        fontsize=7.5,
        handlelength=2.6,
    )

"""Draws the accuracy of each network on each stream of J-HMDB.

    python -m benchmarks.jhmdb_figure --output=docs/images/jhmdb_dots.png

Reads the rows of benchmarks.jhmdb. Leaves out what lacks a split that others have: means of
different splits cannot be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError

if TYPE_CHECKING:
    from benchmarks.jhmdb_tables import Accuracy

_RESULTS = "benchmarks/results/jhmdb.csv"
# Label, color (Okabe and Ito) and, for readers who cannot see it, mark of each stream.
_STREAMS = {
    "rgb": ("RGB", "#009e73", "o"),
    "dis": ("DIS flow", "#56b4e9", "v"),
    "tvl1_half": ("TV-L1 flow", "#e69f00", "^"),
    "rgb+dis": ("RGB + DIS", "#0072b2", "D"),
    "rgb+tvl1_half": ("RGB + TV-L1", "#d55e00", "s"),
}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("results", _RESULTS, "CSV file of benchmarks.jhmdb.", **own)
    define_path("output", None, "PNG file to write.", **own)


def main(values: flags.FlagValues) -> None:
    """Draws the figure."""
    require(values, "results", "output")
    import pandas as pd

    from benchmarks.jhmdb_tables import accuracy_of, with_numbers
    from rlstm_tf.storage.atomic import write_atomic, writing

    try:
        rows = with_numbers(pd.read_csv(values.results, dtype=str, keep_default_na=False))
    except OSError as error:
        raise DataError(f"{values.results}: {error.strerror}") from None
    except (KeyError, ValueError):
        raise DataError(f"{values.results} is not a table of benchmarks.jhmdb") from None
    found = {key: accuracy_of(own) for key, own in rows.groupby(["network", "stream"])}
    splits = {*rows["split"]}
    found = {key: accuracy for key, accuracy in found.items() if {*accuracy.splits.index} == splits}
    with writing(values.output):
        write_atomic(values.output, draw(found))


def draw(found: dict[tuple[str, str], Accuracy]) -> bytes:
    """Draws the mean of each network on each stream, and its deviation over seeds.

    Args:
        found: accuracy by network and stream; what is missing is left out.

    Returns:
        A PNG file.
    """
    import matplotlib

    from benchmarks.jhmdb_runs import NETWORKS
    from rlstm_tf.reporting.figures import GREY, PAGE, STYLE, new_figure, to_png

    networks = [name for name in NETWORKS if any(name == network for network, _ in found)]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(PAGE, 0.9 + 0.3 * len(networks))
        for stream, (label, color, mark) in _STREAMS.items():
            own = {
                place: found[name, stream]
                for place, name in enumerate(networks)
                if (name, stream) in found
            }
            if not own:
                continue
            axes.errorbar(
                [accuracy.mean for accuracy in own.values()],
                [*own],
                xerr=[accuracy.over_seeds for accuracy in own.values()],
                fmt=mark,
                color=color,
                label=label,
                markersize=4.5,
                elinewidth=0.9,
                capsize=2,
            )
        axes.set_yticks(range(len(networks)), networks)
        axes.set_ylim(len(networks) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=GREY, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("percent of the test clips: mean of the splits, ± over seeds")
        figure.legend(loc="outside upper center", ncols=len(_STREAMS), frameon=False)
        return to_png(figure)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

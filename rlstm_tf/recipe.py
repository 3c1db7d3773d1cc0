"""Prints every command from the videos to the paper's tables, as a shell script.

    python -m rlstm_tf.recipe > paper.sh
    python -m rlstm_tf.recipe --demo | sh -e    # the same on generated videos, in small

What takes how long is estimated from --steps, measured by `python -m benchmarks.steps`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError


def define_flags(values: absl_flags.FlagValues) -> None:
    """Flags of this entry point."""
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_boolean("demo", False, "Generated videos, a small network.", **own)
    absl_flags.DEFINE_string(
        "steps", None, "CSV of measured steps: adds estimated hours and memory.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Prints the script."""
    from rlstm_tf.reporting import paper_runs as paper

    measured = _measured(Path(values.steps)) if values.steps else {}
    places = paper.DEMO if values.demo else paper.PAPER
    print("# From the videos to tables 2 - 8 of arXiv 1811.07059. Run it again to go on.")
    print("set -e")
    if values.demo:
        _section("Generated videos, in the layouts of the three data sets")
        for line in _demo_data():
            print(line)
    _section("Records: frames and optical flow")
    for command in paper.build_commands(places):
        print(command)
    total = 0.0
    for run in paper.runs():
        split = f" split {run.split}" if run.split else ""
        _section(f"{run.dataset}{split}, {run.name}, {run.stream} stream")
        found = measured.get((run.name, run.stream))
        if found:
            training, testing = run.hours(found["seconds_per_video"])
            total += training + testing
            print(
                f"# {run.steps} steps: about {training:.0f} h, test {testing:.1f} h, "
                f"{found['gigabytes']:.1f} GB for batches of {found['batch_size']:.0f}"
            )
        for command in paper.run_commands(places, run):
            print(command)
    _section("Both streams together, and the ensemble")
    for command in paper.fuse_commands(places):
        print(command)
    _section("Tables and figures")
    print(paper.report_command(places))
    if measured:
        print(f"# In all about {total:.0f} h on a machine like the one measured.")


def _section(title: str) -> None:
    print(f"\n# {title}.")


def _demo_data() -> list[str]:
    # A camera that stands still: from a few hundred videos flow teaches nothing else.
    common = "--num_frames=10 --camera=0"
    layouts = {"ucf101": 60, "hmdb51": 30, "charades": 60}
    return [
        f"python -m tfrecords_tools.demo --layout={layout} --videos_per_class={count} {common} "
        f"--output=data/paper_demo/{layout}"
        for layout, count in layouts.items()
    ]


def _measured(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Rows of the table by run and stream."""
    columns = ("seconds_per_video", "gigabytes", "batch_size")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                (row["run"], row["stream"]): {name: float(row[name]) for name in columns}
                for row in csv.DictReader(file)
            }
    except OSError as error:
        raise DataError(f"--steps={path}: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"--steps={path} is no table of benchmarks.steps: {error}") from None


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

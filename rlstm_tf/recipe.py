"""Prints every command from the videos to the paper's tables, as a shell script.

    python -m rlstm_tf.recipe > paper.sh
    python -m rlstm_tf.recipe --demo | sh -e    # small, on generated videos

--steps, measured by `python -m benchmarks.steps`, adds estimated hours and memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_boolean("demo", False, "Uses generated videos and a small network.", **own)
    define_path(
        "steps", None, "CSV file of benchmarks.steps: adds estimated hours and memory.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Prints the script."""
    from rlstm_tf.reporting import paper_runs as paper

    measured = _read_steps(Path(values.steps)) if values.steps else {}
    paths = paper.DEMO if values.demo else paper.PAPER
    say("# From the videos to tables 2 - 8 of arXiv 1811.07059. Run it again to resume.")
    say("set -e")
    if values.demo:
        _section("Generated videos, in the layouts of the three data sets", _demo_data())
    _section("Records: frames and optical flow", paper.build_commands(paths))
    total = 0.0
    for run in paper.runs():
        split = f" split {run.split}" if run.split else ""
        commands = list(paper.run_commands(paths, run))
        found = measured.get((run.name, run.stream))
        if found:
            training, testing = run.hours(found["seconds_per_video"])
            total += training + testing
            commands.insert(
                0,
                f"# {run.steps} steps: about {training:.0f} h, test {testing:.1f} h, "
                f"{found['gigabytes']:.1f} GB for batches of {found['batch_size']:.0f}",
            )
        _section(f"{run.dataset}{split}, {run.name}, {run.stream} stream", commands)
    _section("Both streams together, and the ensemble", paper.fuse_commands(paths))
    _section("Tables and figures", [paper.report_command(paths)])
    if measured:
        say(f"# Total: about {total:.0f} h on a machine like the one measured.")


def _section(title: str, commands: Iterable[str]) -> None:
    say("", f"# {title}.", *(line for command in commands for line in command.splitlines()))


def _demo_data() -> list[str]:
    # A few hundred videos with a moving camera are too few to learn from flow.
    common = "--num_frames=10 --camera=0"
    layouts = {"ucf101": 60, "hmdb51": 30, "charades": 60}
    return [
        f"python -m tfrecords_tools.demo --layout={layout} --videos_per_class={count} {common} "
        f"--output=data/paper_demo/{layout}"
        for layout, count in layouts.items()
    ]


def _read_steps(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Reads the table of benchmarks.steps by run and stream."""
    columns = ("seconds_per_video", "gigabytes", "batch_size")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {
                (row["run"], row["stream"]): {name: float(row[name]) for name in columns}
                for row in csv.DictReader(file)
            }
    except OSError as error:
        raise DataError(f"--steps={path}: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"--steps={path} is not a table of benchmarks.steps: {error}") from None


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

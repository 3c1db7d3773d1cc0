"""Start-up time of the commands, compared with Python and with the import of TensorFlow.

    python -m benchmarks.startup

Each in a separate process, in turns; the best turn of each counts, in core seconds, so that other
load on the machine does not count: `--help` of every command; a wrong flag, which must be reported
as fast; a command without TensorFlow; and imports. `times Python` is the ratio to `python -c pass`,
`of TensorFlow` to `python -c "import tensorflow"`.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.processes import run
from benchmarks.timing import fastest
from rlstm_tf.cli import app

_ROOT = Path(__file__).parent.parent
_MODULES = ("keras", "numpy", "rlstm_tf", "rlstm_tf.cli.app", "rlstm_tf.layers", "rlstm_tf.models")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_integer("rounds", 3, "Timed turns of each.", 1, **own)
    flags.DEFINE_list("only", [], "Names of commands; all commands and imports if empty.", **own)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    print_heading("start-up")
    python, tensorflow = "python -c pass", "import tensorflow"
    commands = {python: ["-c", "pass"], tensorflow: ["-c", tensorflow]}
    if not values.only:
        commands.update({f"import {name}": ["-c", f"import {name}"] for name in _MODULES})
        commands["rlstm_tf.recipe"] = ["-m", "rlstm_tf.recipe"]
    refused = {}
    for name in values.only or _entry_points():
        commands[f"{name} --help"] = ["-m", name, "--help"]
        refused[f"{name} --wrong"] = ["-m", name, "--no_such_flag"]
    runs = {
        name: partial(run, [sys.executable, *arguments], app.USAGE if name in refused else 0)
        for name, arguments in {**commands, **refused}.items()
    }
    seconds = {name: own.of_cores for name, own in fastest(runs, values.rounds).items()}
    print(f"{'':36} seconds  times Python  of TensorFlow")
    for name, own in sorted(seconds.items(), key=lambda item: item[1]):
        print(f"{name:36}{own:8.2f}{own / seconds[python]:14.1f}{own / seconds[tensorflow]:15.2f}")


def _entry_points() -> list[str]:
    return sorted(
        f"{folder}.{path.stem}"
        for folder in ("rlstm_tf", "tfrecords_tools")
        for path in (_ROOT / folder).glob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    )


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

"""Predictions for many videos with Beam, beside one `predict` that takes them one after the other.

    python -m benchmarks.bulk [--clips=200] [--short=2000,20000]

Whole commands, with their start, in processes of their own: wall-clock and processor seconds, and
the largest sum of the resident sizes of all processes. The network is an untrained two-branch one
on a tiny ResNetV2. The videos are hard links to eight files.

- speed: 2 seconds of H.264 of 340x256, which take most of the time to decode. `predict` with all
  files, and with --output, by one worker and by two, threads of one process. The same with 8
  videos, which is little but the start.
- memory: videos of 4 frames, few and many, with one worker.

A row that is there already is not measured again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks.machine import commit, describe, print_heading
from benchmarks.usage import Usage, wait
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError
from rlstm_tf.quiet import quiet

if TYPE_CHECKING:
    from benchmarks.row_files import RowFile

_KEY = ("way", "workers", "frames", "videos")
_FILES = 8
_FRAMES, _FEW_FRAMES = 50, 4
_TWO = ("--", "--direct_running_mode=multi_threading", "--direct_num_workers=2")
# Way and workers -> Beam's options; None: without --output.
_WAYS: dict[tuple[str, int], tuple[str, ...] | None] = {
    ("predict", 1): None,
    ("beam", 1): (),
    ("beam", 2): _TWO,
}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_integer("clips", 200, "Videos for the speed; 0 = not measured.", 0, **own)
    help_text = "Numbers of short videos for the memory."
    flags.DEFINE_multi_integer("short", [2000, 20_000], help_text, 1, **own)
    results = os.path.join("benchmarks", "results", "bulk.csv")
    define_path("output", results, "CSV file of the results.", **own)


def main(values: flags.FlagValues) -> None:
    """Measures, prints and writes the rows."""
    print_heading("bulk")
    app.load_tensorflow()
    from benchmarks.clips import write_clips
    from benchmarks.exports import export_untrained
    from benchmarks.row_files import ORIGIN, RowFile

    columns = (*_KEY, "seconds", "cpu_seconds", "gigabytes", *ORIGIN)
    rows = RowFile(Path(values.output), columns, _KEY)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        with quiet():
            export_untrained(directory / "model" / "1")
        write_clips(str(directory / "long"), _FILES, _FRAMES)
        write_clips(str(directory / "brief"), _FILES, _FEW_FRAMES)
        for count in (_FILES, values.clips) if values.clips else ():
            for way in _WAYS:
                _add(rows, directory, way, "long", _FRAMES, count)
        for count in values.short:
            _add(rows, directory, ("beam", 1), "brief", _FEW_FRAMES, count)


def _add(
    rows: RowFile, directory: Path, way: tuple[str, int], source: str, frames: int, count: int
) -> None:
    """Runs a command, and adds what it used to the rows, unless they have it."""
    import pandas as pd

    found = dict(zip(_KEY, (*way, frames, count)))
    if not rows.find(found).empty:
        return
    videos = _link(directory / source / "texture", directory / f"{source} {count}", count)
    command = ["rlstm_tf.predict", "--model=model"]
    options = _WAYS[way]
    if options is None:
        command += ["--json", *videos]
        shown = [*command[:3], "..."]
    else:
        output = f"answers {way[1]} {source} {count}"
        command += [f"--videos={source} {count}/*.mp4", f"--output={output}", *options]
        shown = [*command[:2], "--videos=...", "--output=...", *options]
    used = _run(command, directory)
    row = {
        **found,
        "seconds": used.seconds,
        "cpu_seconds": used.cpu_seconds,
        "gigabytes": used.gigabytes,
        "command": " ".join(shown),
        "commit": commit(),
        "machine": describe(),
    }
    rows.write(pd.DataFrame([row]))
    print(
        f"{way[0]:16} {way[1]} workers, {count:6} videos of {frames:2} frames: "
        f"{used.seconds:7.1f} s, {used.cpu_seconds:7.1f} s of cores, {used.gigabytes:.2f} GB",
        flush=True,
    )


def _link(source: Path, folder: Path, count: int) -> list[str]:
    """Makes hard links to the files of a folder; returns their paths from the folder above."""
    files = sorted(source.iterdir())
    folder.mkdir(exist_ok=True)
    names = [f"{number:06d}.mp4" for number in range(count)]
    for number, name in enumerate(names):
        if not (folder / name).exists():
            (folder / name).hardlink_to(files[number % len(files)])
    return [f"{folder.name}/{name}" for name in names]


def _run(command: list[str], directory: Path) -> Usage:
    """Runs a command of this package; raises DataError if it fails."""
    used = directory / "used.json"
    used.unlink(missing_ok=True)
    root = str(Path(__file__).parents[1])
    with (directory / "errors").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        if wait(process, used) != 0:
            errors.seek(0)
            last = ["it failed", *errors.read().splitlines()][-1]
            raise DataError(f"{command[0]}: {last}")
    return Usage.load(used)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

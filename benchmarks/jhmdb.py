"""Trains and tests each network on the official splits of J-HMDB.

    python -m benchmarks.jhmdb --videos=JHMDB/videos --splits=JHMDB/splits --quick  # does it run?
    python -m benchmarks.jhmdb --videos=JHMDB/videos --splits=JHMDB/splits          # all of it
    python -m benchmarks.jhmdb --only=tsn,two_branch --streams=rgb --split=1 --seeds=0 ...

First each network is trained with each of the same settings on a part of the clips that no split
tests, and scored on the rest of them. Then it is trained with the best of them on each split, with
each seed, and scored on the test list, once (docs/jhmdb_protocol.md). The scores of RGB and flow
are fused with the weights that are best on that rest.

The same command resumes a stopped benchmark. A row is written as soon as a network is scored, and
what has a row is not trained again. Each training has one core to itself. Fusion needs the scores
in --work: delete it when all rows are there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks.machine import commit, print_heading
from benchmarks.portions import parse_names, parse_seeds
from rlstm_tf.cli import app
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.jhmdb_runs import Run, Study
    from benchmarks.jhmdb_tables import Results

_OUTPUT = "benchmarks/results/jhmdb.csv"
_SPLITS = ("1", "2", "3")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("videos", None, "Directory with one folder of clips per class.", **own)
    define_path("splits", None, "Directory of the split files.", **own)
    flags.DEFINE_list("only", [], "Names of networks; all if empty.", **own)
    flags.DEFINE_list("streams", [], "rgb, dis, tvl1_half; all, and their fusion, if empty.", **own)
    flags.DEFINE_list("split", [], "Numbers of splits; all if empty.", **own)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of all trainings.", **own)
    help_text = "One epoch of a tiny network, of the clips that are there: to see that it runs."
    flags.DEFINE_boolean("quick", False, help_text, **own)
    define_path("work", "runs/jhmdb", "Directory of shards and runs.", **own)
    help_text = f"CSV file; {_OUTPUT} if unset, with --quick WORK_quick/jhmdb.csv."
    define_path("output", None, help_text, **own)
    flags.DEFINE_integer("workers", None, "Trainings at a time; a core each if unset.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Makes shards and runs that do not exist, writes and prints the results."""
    require(values, "videos", "splits")
    if values.output and os.path.isdir(values.output):
        raise UsageError(f"--output={values.output} is a directory: give a file, NAME.csv")
    seeds = parse_seeds(values.seeds)
    splits = tuple(map(int, parse_names("split", values.split, _SPLITS)))
    from benchmarks.jhmdb_runs import NETWORKS, QUICK, STREAMS, WHOLE, Study
    from benchmarks.jhmdb_tables import Results

    networks = parse_names("only", values.only, [*NETWORKS])
    streams = parse_names("streams", values.streams, [*STREAMS])
    print_heading("jhmdb")
    work = Path(values.work + "_quick" if values.quick else values.work)
    output = Path(values.output or (work / "jhmdb.csv" if values.quick else _OUTPUT))
    size = QUICK if values.quick else WHOLE
    study = Study(values.videos, values.splits, work, size, values.workers)
    results = Results(output, study)
    run_study(study, networks, streams, splits, seeds, results)
    results.show()


def run_study(
    study: Study,
    networks: Sequence[str],
    streams: Sequence[str],
    splits: Sequence[int],
    seeds: Sequence[int],
    results: Results,
) -> None:
    """Chooses settings; then trains, tests and fuses what has no row yet.

    Args:
        study: what all trainings share.
        networks, streams, splits, seeds: what to train.
        results: rows of before, and where new ones are written.
    """
    from benchmarks.jhmdb_runs import SEARCH_SEED, SEARCH_SPLIT, STREAMS, Run, train_all

    trials = {
        (network, stream): [
            Run(network, stream, SEARCH_SPLIT, SEARCH_SEED, trial, search=True)
            for trial in study.size.trials
        ]
        for stream in dict.fromkeys(STREAMS[stream].like or stream for stream in streams)
        for network in networks
    }
    new = [run for runs in trials.values() for run in runs if not results.has(run)]
    train_all(study, new, results.add)
    best = {key: results.best(runs) for key, runs in trials.items()}
    chosen = {
        (network, stream): best[network, STREAMS[stream].like or stream]
        for stream in streams
        for network in networks
    }
    runs = [
        Run(network, stream, split, seed, chosen[network, stream].trial)
        for stream in streams
        for seed in seeds
        for split in splits
        for network in networks
    ]
    train_all(study, [run for run in runs if not results.has(run)], results.add)
    _fuse_all(study, runs, chosen, results)


def _fuse_all(
    study: Study, runs: Sequence[Run], chosen: dict[tuple[str, str], Run], results: Results
) -> None:
    """Fuses each run on flow with that on RGB, if both are there and neither diverged."""
    from benchmarks.jhmdb_runs import fuse, fuse_command, fusion_weights

    on_rgb = {(run.network, run.split, run.seed): run for run in runs if run.stream == "rgb"}
    weights = {}
    for flow in (run for run in runs if run.stream != "rgb"):
        rgb = on_rgb.get((flow.network, flow.split, flow.seed))
        if rgb is None or results.has_fused(rgb, flow):
            continue
        if results.diverged(rgb) or results.diverged(flow):
            continue
        kinds = (flow.network, "rgb"), (flow.network, flow.stream)
        if kinds not in weights:
            weights[kinds] = fusion_weights(study, *(chosen[kind] for kind in kinds))
        scores = fuse(study, rgb, flow, weights[kinds])
        command = fuse_command(weights[kinds])
        origin = {"command": command, "commit": commit(), "machine": study.machine}
        results.add_fused(rgb, flow, scores, origin)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

"""Trains each network on generated videos whose classes differ in known ways.

    python -m benchmarks.relations --quick     # four networks, one seed, few videos, no search
    python -m benchmarks.relations             # the study of docs/relations_protocol.md
    python -m benchmarks.relations --scenes=matching     # the same on the 8 classes of one group
    python -m benchmarks.relations --only=lstm,convlstm --seeds=0,1   # a portion of it
    python -m benchmarks.relations --ablations           # variants, too; on the addons stack
                                                         # 3 cells of the LSTM as well
    python -m rlstm_tf.report --output=report \
        --benchmark=benchmarks/results/study_relations_matching.csv

The classes come in pairs. Accuracy is that of the choice between the two classes of a pair, so
chance is 0.5; that of a group is the mean over its pairs. All networks have the same videos, epochs
and trunk: that of a TSN trained on other videos of the same kind, as the paper's comes from
ImageNet. TSN itself starts from all weights of that one.

Each network is trained for a few epochs at several learning rates, which are compared on
validation videos of another draw; then with each seed at the best rate, and tested. Variants take
the rate of what they vary.

The same command resumes a stopped benchmark. A row is written as soon as a network is tested, and
what has a row is not trained again: --work can be deleted. Each network has one core to itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.portions import parse_names, parse_seeds
from benchmarks.settings import ABLATIONS, CELLS, MAIN, QUICK_NETWORKS, Setting
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.relational_runs import Study
    from benchmarks.relational_tables import Results

SCENES = ("relations", "matching", "relations,matching")
# Of all trials of learning rates.
_SEARCH_SEED = 0


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_enum("scenes", SCENES[-1], SCENES, "Kind of scenes.", **own)
    flags.DEFINE_boolean("quick", False, "Four networks, one seed, few videos, no search.", **own)
    flags.DEFINE_boolean("ablations", False, "Also trains variants of the networks.", **own)
    flags.DEFINE_list("only", [], "Names of settings; those of the flags above if empty.", **own)
    flags.DEFINE_list("seeds", None, "Seeds of all trainings; 3 or 5 of each if unset.", **own)
    define_path("work", "runs/study", "Directory of videos, shards and runs.", **own)
    define_path(
        "output",
        None,
        "CSV file; benchmarks/results/study_SCENES.csv if unset, not --quick.",
        **own,
    )
    flags.DEFINE_integer("workers", None, "Networks at a time; a core each if unset.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Makes videos and runs that do not exist, writes and prints the results."""
    if values.quick and values.seeds is not None:
        raise UsageError("--quick has seed 0 alone: give no --seeds")
    seeds: tuple[int, ...] = (0,) if values.quick else ()
    if values.seeds is not None:
        seeds = parse_seeds(values.seeds)
    if values.output and os.path.isdir(values.output):
        raise UsageError(f"--output={values.output} is a directory: give a file, NAME.csv")
    settings = _settings(values.ablations, values.only, values.quick)
    app.load_tensorflow()
    from benchmarks import relational_data
    from benchmarks.relational_runs import Study
    from benchmarks.relational_tables import Results

    print_heading("relations")
    name = values.scenes.replace(",", "_")
    work = Path(values.work + "_quick" if values.quick else values.work) / name
    size = relational_data.QUICK if values.quick else relational_data.WHOLE
    output = work / "study.csv" if values.quick else Path(f"benchmarks/results/study_{name}.csv")
    study = Study(work, values.scenes, size, values.workers)
    results = Results(Path(values.output or output), study)
    run_study(study, settings, seeds, results)
    results.show()


def run_study(
    study: Study, settings: tuple[Setting, ...], seeds: tuple[int, ...], results: Results
) -> None:
    """Searches the learning rates, then trains and tests with each seed what has no row yet.

    Args:
        study: what all trainings share.
        settings: what to train.
        seeds: seeds of each; if empty, as many as the setting has.
        results: rows of before, and where new ones are written.
    """
    from benchmarks.relational_runs import Run, train_all

    by_name = {setting.name: setting for setting in MAIN}
    searched = dict.fromkeys(by_name.get(setting.like, setting) for setting in settings)
    if study.size.search_epochs:
        trials = [Run(it, rate, _SEARCH_SEED, trial=True) for it in searched for rate in it.rates]
        trials = [run for run in trials if not results.has_trial(run)]
        train_all(study, trials, "validation", results.add_trial)
        rates = {setting.name: results.best_rate(setting.name) for setting in searched}
    else:
        rates = {setting.name: setting.rates[len(setting.rates) // 2] for setting in searched}
    runs = [
        Run(setting, rates[setting.like or setting.name], seed)
        for seed in seeds or range(max(setting.seeds for setting in settings))
        for setting in settings
        if seeds or seed < setting.seeds
    ]
    runs = [run for run in runs if not results.has(run)]
    train_all(study, runs, "test", results.add)


def _settings(ablations: bool, only: list[str], quick: bool) -> tuple[Setting, ...]:
    """Returns the settings to train: those in `only`; if empty, all, or those of --quick.

    Raises:
        UsageError: a name is unknown, or names a cell that this stack does not have.
    """
    networks = tuple(it for it in MAIN if only or not quick or it.name in QUICK_NETWORKS)
    settings = networks + (ABLATIONS + CELLS if ablations else ())
    names = parse_names("only", only, [setting.name for setting in settings])
    chosen = tuple(setting for setting in settings if setting.name in names)
    cells = [setting.name for setting in chosen if setting in CELLS]
    if cells:
        app.load_tensorflow()
        from rlstm_tf.addons import tensorflow_addons

        try:
            tensorflow_addons(f"--only={cells[0]}")
        except UsageError as error:
            if only:
                raise
            print(f"skipped: {error}", flush=True)
            return networks + ABLATIONS
    return chosen


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

"""Trains each network on generated videos whose classes differ in known ways.

    python -m benchmarks.relations --quick            # the networks, small: 9 minutes
    python -m benchmarks.relations                    # three seeds of each: about 80 minutes
    python -m benchmarks.relations --ablations        # 16 changes to one, 10 minutes each;
                                                      # on the addons stack 3 cells of the LSTM, too
    python -m rlstm_tf.report --benchmark=benchmarks/results/relations.csv --output=report

The classes come in pairs (`tfrecords_tools.synthetic.relations`). Accuracy is that of the choice
between the two classes of a pair, so chance is 0.5; that of a group is the mean over its pairs. All
networks have the same videos, epochs and trunk: that of a TSN trained on other videos of the same
kind, as the paper's comes from ImageNet. TSN itself starts from all weights of that one.

Trained networks are kept in --work: the same command resumes a stopped benchmark. Each network has
one core to itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.settings import ABLATIONS, CELLS, MAIN, Setting
from rlstm_tf.cli import app
from rlstm_tf.cli.parsing import parse_numbers
from rlstm_tf.errors import UsageError

RESULTS = "benchmarks/results/relations.csv"


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_boolean("quick", False, "Networks only, one seed, few videos.", **own)
    flags.DEFINE_boolean("ablations", False, "Also trains variants of two_branch and lstm.", **own)
    flags.DEFINE_list("only", [], "Names of settings; all if empty.", **own)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the trainings.", **own)
    flags.DEFINE_string("work", "runs/relations", "Directory of videos, shards and runs.", **own)
    flags.DEFINE_string("output", None, f"CSV file; {RESULTS} if unset and not --quick.", **own)
    flags.DEFINE_integer("workers", None, "Networks at a time; a core each if unset.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Makes videos and runs that do not exist, writes and prints the results."""
    from benchmarks import relational_runs, relational_tables

    print_heading("relations")
    seeds = (0,) if values.quick else parse_numbers("seeds", values.seeds, int, 0, 2**32 - 1)
    settings = _settings(values.ablations, values.only)
    work = Path(values.work + "_quick" if values.quick else values.work)
    size = relational_runs.QUICK if values.quick else relational_runs.WHOLE
    runs = [relational_runs.Run(setting, seed) for seed in seeds for setting in settings]
    output = Path(values.output or (work / "relations.csv" if values.quick else RESULTS))
    relational_tables.check(output)
    relational_runs.train_all(work, size, runs, values.workers)
    relational_tables.write(output, work, runs)
    relational_tables.show(output)


def _settings(ablations: bool, only: list[str]) -> tuple[Setting, ...]:
    """Returns the settings to train: all, or those in `only`.

    Raises:
        UsageError: a name is unknown, or names a cell that this stack does not have.
    """
    settings = MAIN + (ABLATIONS + CELLS if ablations else ())
    names = [setting.name for setting in settings]
    for name in only:
        if name not in names:
            raise UsageError(f"--only={name}: unknown setting, known: {', '.join(names)}")
    chosen = tuple(setting for setting in settings if setting.name in only or not only)
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
            return MAIN + ABLATIONS
    return chosen


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

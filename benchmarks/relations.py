"""What each network makes of generated videos of which we know what tells them apart.

    python -m benchmarks.relations --quick            # the networks, in small: 9 minutes
    python -m benchmarks.relations                    # three seeds of each: about 80 minutes
    python -m benchmarks.relations --ablations        # 16 changes to one, 10 minutes each;
                                                      # on the addons stack 3 cells of the LSTM, too
    python -m rlstm_tf.report --benchmark=benchmarks/results/relations.csv --output=report

The classes come in pairs (`tfrecords_tools.synthetic.relations`); accuracy is that of the
choice between the two of a pair, so chance is 0.5, and a group's is the mean over its pairs. All
networks have the same videos, epochs and trunk: that of a TSN trained on other videos of the same
kind, as the paper's comes from ImageNet. TSN itself goes on from all weights of that one.

A trained network is kept in --work and not trained again: what was stopped goes on when the same
command is given again. Each network has one core to itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.settings import ABLATIONS, CELLS, MAIN, Setting
from rlstm_tf.cli import app
from rlstm_tf.cli.flags import parse_numbers
from rlstm_tf.errors import UsageError

RESULTS = "benchmarks/results/relations.csv"


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_boolean("quick", False, "The networks alone, one seed, few videos.", **own)
    flags.DEFINE_boolean(
        "ablations", False, "What is changed about two_branch and lstm, too.", **own
    )
    flags.DEFINE_list("only", [], "Names of settings; all if empty.", **own)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Of the trainings.", **own)
    flags.DEFINE_string("work", "runs/relations", "Directory of videos, shards and runs.", **own)
    flags.DEFINE_string("output", None, f"CSV file; {RESULTS} if unset and not --quick.", **own)
    flags.DEFINE_integer("workers", None, "Networks at a time; a core each if unset.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Makes the videos, trains what is not there, writes and prints the results."""
    from benchmarks import relational_runs, relational_tables
    from benchmarks.machine import print_heading

    print_heading("relations")
    seeds = (0,) if values.quick else parse_numbers("seeds", values.seeds, int, 0, 2**32 - 1)
    settings = _settings(values.ablations, values.only)
    work = Path(values.work + "_quick" if values.quick else values.work)
    size = relational_runs.QUICK if values.quick else relational_runs.WHOLE
    runs = [relational_runs.Run(setting, seed) for seed in seeds for setting in settings]
    output = Path(values.output or (work / "relations.csv" if values.quick else RESULTS))
    relational_tables.check(output)
    relational_runs.train_all(work, size, runs, values.workers)
    rows = [relational_tables.row(work, run) for run in runs]
    relational_tables.write(output, rows, [relational_tables.curve(work, run) for run in runs])
    relational_tables.show(rows)


def _settings(ablations: bool, only: list[str]) -> tuple[Setting, ...]:
    """What to train: all, or what `only` names.

    Raises:
        UsageError: a name is unknown, or is of a cell that this stack does not have.
    """
    settings = MAIN + (ABLATIONS + CELLS if ablations else ())
    names = [setting.name for setting in settings]
    for name in only:
        if name not in names:
            raise UsageError(f"--only={name}: is none of {', '.join(names)}")
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
            print(f"left out: {error}", flush=True)
            return MAIN + ABLATIONS
    return chosen


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

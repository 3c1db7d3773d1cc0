"""Makes the paper's tables and figures from evaluations, or those of the relational benchmark.

    python -m rlstm_tf.report --runs=runs --output=report
    python -m rlstm_tf.report --benchmark=benchmarks/results/relations.csv --output=report

Searches --runs for results of rlstm_tf.evaluate and rlstm_tf.fuse (metrics.json with scores.npz),
and writes into --output: index.html, one page with everything; tables/, the paper's tables 2 to 8
with our numbers beside its own, Markdown and CSV; figures/, PNGs for a paper. Replaces an earlier
report. Needs the extra `report`: pip install 'rlstm-tf[report]'.

With --benchmark, reports the results of benchmarks.relations: accuracy by group and by pair of
classes, mean and standard deviation over seeds; how far the two-branch network is ahead of TSN and
of its local branch; learning curves, if NAME_curves.csv is beside NAME.csv.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.flags import check_local, require
from rlstm_tf.cli.paths import define_path, define_path_list
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    own: dict[str, Any] = {"flag_values": values}
    define_path_list("runs", None, "Directories with evaluations, at any depth.", **own)
    define_path("benchmark", None, "CSV file of benchmarks.relations, instead of --runs.", **own)
    define_path("output", None, "Directory: new, empty, or a report to replace.", **own)
    flags.DEFINE_string("title", "Relational LSTM: tables and figures", "Title of the page.", **own)
    flags.DEFINE_list(
        "videos", None, "Ids of the test videos in figure 4; up to 6 are chosen if unset.", **own
    )


def main(values: flags.FlagValues) -> None:
    """Writes the report."""
    require(values, "output")
    check_local(values, "runs", "benchmark", "videos", "output")
    if bool(values.runs) == bool(values.benchmark):
        raise UsageError("either --runs or --benchmark must be given")
    if values.benchmark and values.videos:
        raise UsageError("--videos is for a report on --runs")
    with app.importing_extra("report", "jinja2", "matplotlib", "pandas"):
        from rlstm_tf.reporting import assembly, benchmark, output, results

    output.check_output(values.output)
    if values.benchmark:
        networks = benchmark.read_benchmark(values.benchmark)
        files = benchmark.assemble(networks, values.title)
        contents = f"{len(networks.rows)} trained networks"
    else:
        found = results.read_results(values.runs)
        files = assembly.assemble(found, values.runs, values.title, values.videos or ())
        contents = f"{len(found)} evaluations"
    output.write_output(values.output, files)
    say(f"{contents}, {len(files)} files: {values.output}/{output.INDEX}")


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

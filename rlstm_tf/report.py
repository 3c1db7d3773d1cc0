"""Makes the paper's tables and figures from evaluations, or those of the relational benchmark.

    python -m rlstm_tf.report --runs=runs --output=report
    python -m rlstm_tf.report --benchmark=benchmarks/results/relations.csv --output=report

Searches --runs for what rlstm_tf.evaluate and rlstm_tf.fuse wrote (metrics.json with scores.npz),
and writes into --output: index.html, one page that holds everything; tables/, the paper's tables 2
to 8 with our figures beside its own, Markdown and CSV; figures/, PNGs for a paper. A report that
stands there is replaced. Needs the extra `report`: pip install 'rlstm-tf[report]'.

With --benchmark the same files hold what benchmarks.relations measured: accuracy by group and by
pair of classes, mean and standard deviation over seeds; how far the two-branch network is ahead of
TSN and of its local branch; learning curves, if NAME_curves.csv stands beside NAME.csv.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.flags import check_local, require
from rlstm_tf.errors import UsageError


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this entry point."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_list("runs", None, "Directories with evaluations, at any depth.", **own)
    flags.DEFINE_string(
        "benchmark", None, "CSV file of benchmarks.relations, in the place of --runs.", **own
    )
    flags.DEFINE_string("output", None, "Directory; new, empty, or a report.", **own)
    flags.DEFINE_string("title", "Relational LSTM: tables and figures", "Of the page.", **own)
    flags.DEFINE_list(
        "videos", None, "Ids of the test videos in figure 4; up to 6 are chosen if unset.", **own
    )


def main(values: flags.FlagValues) -> None:
    """Reads, draws, writes."""
    require(values, "output")
    check_local(values, "runs", "benchmark", "videos", "output")
    if bool(values.runs) == bool(values.benchmark):
        raise UsageError("either --runs or --benchmark must be given")
    if values.benchmark and values.videos:
        raise UsageError("--videos is for a report on --runs")
    try:
        from rlstm_tf.reporting import assembly, output, results

        if values.benchmark:
            from rlstm_tf.reporting import benchmark
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "matplotlib", "pandas"):
            raise
        raise UsageError(
            f"{error.name} is not installed: the extra report brings it, "
            "pip install 'rlstm-tf[report]'"
        ) from None

    output.check_output(values.output)
    if values.benchmark:
        measured = benchmark.read_benchmark(values.benchmark)
        files = benchmark.assemble(measured, values.title)
        what = f"{len(measured.rows)} trained networks"
    else:
        found = results.read_results(values.runs)
        files = assembly.assemble(found, values.runs, values.title, values.videos or ())
        what = f"{len(found)} evaluations"
    output.write_output(values.output, files)
    print(f"{what}, {len(files)} files: {values.output}/{output.INDEX}")


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

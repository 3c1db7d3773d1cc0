"""Makes the paper's tables and figures from evaluations.

    python -m rlstm_tf.report --runs=runs --output=report

Searches --runs for what rlstm_tf.evaluate and rlstm_tf.fuse wrote (metrics.json with scores.npz),
and writes into --output: index.html, one page that holds everything; tables/, the paper's tables 2
to 8 with our figures beside its own, Markdown and CSV; figures/, PNGs for a paper. A report that
stands there is replaced. Needs the extra `report`: pip install 'rlstm-tf[report]'.
"""

from __future__ import annotations

import sys
from typing import Any

from absl import flags as absl_flags

from rlstm_tf import cli, flags
from rlstm_tf.errors import UsageError


def define_flags(values: absl_flags.FlagValues) -> None:
    """Flags of this entry point."""
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_list("runs", None, "Directories with evaluations, at any depth.", **own)
    absl_flags.DEFINE_string("output", None, "Directory; new, empty, or a report.", **own)
    absl_flags.DEFINE_string("title", "Relational LSTM: tables and figures", "Of the page.", **own)
    absl_flags.DEFINE_list(
        "videos", None, "Ids of the test videos in figure 4; up to 6 are chosen if unset.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Reads, draws, writes."""
    flags.require(values, "runs", "output")
    try:
        from rlstm_tf.reporting import assembly, output, results
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "matplotlib"):
            raise
        raise UsageError(
            f"{error.name} is not installed: the extra report brings it, "
            "pip install 'rlstm-tf[report]'"
        ) from None

    output.check_output(values.output)
    found = results.read_results(values.runs)
    files = assembly.assemble(found, values.runs, values.title, values.videos or ())
    output.write_output(values.output, files)
    print(f"{len(found)} evaluations, {len(files)} files: {values.output}/{output.INDEX}")


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))

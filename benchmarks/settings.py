"""Settings of the relational benchmark: the networks, and variants of them."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.choices import LSTM_CELLS

DISTRACTORS = 2
# Channels of the state: half the trunk's 64, as in the paper.
UNITS = 32
# Learning rates that each network is tried at.
RATES = (0.01, 0.02, 0.04)
# The Relational LSTM with options that the paper does not have.
WINNER = "winner"
WINNING_OPTIONS = (
    "--attention_norm",
    "--local_term",
    "--displacement_term",
    "--unit_forget_bias",
)
# Networks of --quick: all would take more than ten minutes.
QUICK_NETWORKS = ("tsn", "convlstm", "two_branch", WINNER)
# Seeds of the networks that the questions are about.
_MOST_SEEDS = 5


@dataclass(frozen=True)
class Setting:
    """A network, trained once for each seed.

    Attributes:
        name: name in the tables.
        table: table that it is in.
        flags: flags of its training, after those of configs/relations.cfg.
        rates: learning rates to choose from.
        like: setting whose learning rate it takes; empty: its own is searched.
        distractors: number of irrelevant shapes in its videos.
        seeds: number of its trainings, with seeds from 0 on, unless seeds are given.
    """

    name: str
    table: str
    flags: tuple[str, ...]
    rates: tuple[float, ...] = RATES
    like: str = ""
    distractors: int = DISTRACTORS
    seeds: int = 3


def _variant(
    table: str, name: str, *flags: str, like: str = "two_branch", distractors: int = DISTRACTORS
) -> Setting:
    flags = ("--model=two_branch", *flags)
    return Setting(name, table, flags, like=like, distractors=distractors)


MAIN = (
    *(Setting(model, "models", (f"--model={model}",)) for model in ("tsn", "local", "lstm")),
    Setting("convlstm", "models", ("--model=convlstm",), seeds=_MOST_SEEDS),
    # Transformers are rarely trained with SGD, which all others are.
    Setting(
        "transformer",
        "models",
        ("--model=transformer", "--optimizer=adamw", "--weight_decay=0.05"),
        rates=tuple(rate / 10 for rate in RATES),
        seeds=_MOST_SEEDS,
    ),
    Setting("two_branch", "models", ("--model=two_branch",), seeds=_MOST_SEEDS),
    Setting(WINNER, "models", ("--model=two_branch", *WINNING_OPTIONS), seeds=_MOST_SEEDS),
)
# Each winning option alone, all but it, and all with half of the units in each direction.
_OPTIONS = (
    *(_variant("options", option[2:], option, like=WINNER) for option in WINNING_OPTIONS),
    *(
        _variant(
            "options",
            f"without_{option[2:]}",
            *(other for other in WINNING_OPTIONS if other != option),
            like=WINNER,
        )
        for option in WINNING_OPTIONS
    ),
    _variant("options", "both_ways", *WINNING_OPTIONS, "--bidirectional", like=WINNER),
)
# Tables 3 and 5 of the paper, and options that it does not vary.
ABLATIONS = (
    *_OPTIONS,
    Setting("rlstm", "branches", ("--model=rlstm",), like="two_branch"),
    *(
        _variant("segments", f"segments={number}", f"--num_segments={number}")
        for number in (4, 6, 12)
    ),
    *(
        _variant("cut", f"cut={cut}", f"--cut={cut}")
        for cut in ("conv5_block1_out", "conv5_block2_out", "conv5_block3_out")
    ),
    *(_variant("attention", f"scale={scale}", f"--attention_scale={scale}") for scale in (1, 0)),
    *(
        _variant("pairwise", pairwise, f"--pairwise={pairwise}")
        for pairwise in ("dot_product", "concatenation")
    ),
    *(_variant("state", f"units={units}", f"--units={units}") for units in (UNITS // 2, UNITS * 2)),
    _variant("direction", "bidirectional", "--bidirectional"),
    Setting(
        "convlstm_both_ways",
        "direction",
        ("--model=convlstm", "--bidirectional"),
        like="convlstm",
    ),
    *(_variant("objects", f"distractors={number}", distractors=number) for number in (0, 5)),
)
# Cells of tensorflow-addons, and that of Keras on the same stack.
CELLS = tuple(
    Setting(f"lstm_cell={cell}", "cells", ("--model=lstm", f"--lstm_cell={cell}"), like="lstm")
    for cell in LSTM_CELLS
)

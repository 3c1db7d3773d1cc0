"""Settings of the relational benchmark: the networks, and variants of them."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.choices import LSTM_CELLS

MODELS = ("tsn", "local", "lstm", "convlstm", "rlstm", "two_branch")
DISTRACTORS = 2
# Channels of the state: half the trunk's 64, as in the paper.
UNITS = 32


@dataclass(frozen=True)
class Setting:
    """A network, trained once for each seed.

    Attributes:
        name: name in the tables.
        table: table that it is in; `two_branch` is in all of them.
        flags: flags of its training, after those of configs/relations.cfg.
        distractors: number of irrelevant shapes in its videos.
    """

    name: str
    table: str
    flags: tuple[str, ...]
    distractors: int = DISTRACTORS


def _variant(table: str, name: str, *flags: str, **kwargs: int) -> Setting:
    return Setting(name, table, ("--model=two_branch", *flags), **kwargs)


MAIN = tuple(Setting(model, "models", (f"--model={model}",)) for model in MODELS)
# Tables 3 and 5 of the paper, and options that it does not vary.
ABLATIONS = (
    *(
        _variant("segments", f"segments={number}", f"--num_segments={number}")
        for number in (4, 6, 12)
    ),
    *(
        _variant("cut", f"cut={cut}", f"--cut={cut}")
        for cut in ("conv4_block1_out", "conv5_block2_out", "conv5_block3_out")
    ),
    *(_variant("attention", f"scale={scale}", f"--attention_scale={scale}") for scale in (1, 0)),
    *(
        _variant("pairwise", pairwise, f"--pairwise={pairwise}")
        for pairwise in ("dot_product", "concatenation")
    ),
    *(_variant("state", f"units={units}", f"--units={units}") for units in (UNITS // 2, UNITS * 2)),
    _variant("direction", "bidirectional", "--bidirectional"),
    *(_variant("objects", f"distractors={number}", distractors=number) for number in (0, 5)),
)
# Cells of tensorflow-addons, and that of Keras on the same stack.
CELLS = tuple(
    Setting(f"lstm_cell={cell}", "cells", ("--model=lstm", f"--lstm_cell={cell}"))
    for cell in LSTM_CELLS
)

"""What the relational benchmark trains: the networks, and what is changed about them."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.choices import LSTM_CELLS

MODELS = ("tsn", "local", "lstm", "convlstm", "rlstm", "two_branch")
DISTRACTORS = 2
# Channels of the state: half of the trunk's 64, as in the paper.
UNITS = 32


@dataclass(frozen=True)
class Setting:
    """A network of which one is trained for each seed.

    Attributes:
        name: in the tables.
        table: that it stands in; `two_branch` stands for itself in all of them.
        flags: of its training, beside those of configs/relations.cfg.
        distractors: shapes in the way in its videos.
    """

    name: str
    table: str
    flags: tuple[str, ...]
    distractors: int = DISTRACTORS


def _changed(table: str, name: str, *flags: str, **kwargs: int) -> Setting:
    return Setting(name, table, ("--model=two_branch", *flags), **kwargs)


MAIN = tuple(Setting(model, "models", (f"--model={model}",)) for model in MODELS)
# Tables 3 and 5 of the paper, and what it does not vary.
ABLATIONS = (
    *(
        _changed("segments", f"segments={number}", f"--num_segments={number}")
        for number in (4, 6, 12)
    ),
    *(
        _changed("cut", f"cut={cut}", f"--cut={cut}")
        for cut in ("conv4_block1_out", "conv5_block2_out", "conv5_block3_out")
    ),
    *(_changed("attention", f"scale={scale}", f"--attention_scale={scale}") for scale in (1, 0)),
    *(
        _changed("pairwise", pairwise, f"--pairwise={pairwise}")
        for pairwise in ("dot_product", "concatenation")
    ),
    *(_changed("state", f"units={units}", f"--units={units}") for units in (UNITS // 2, UNITS * 2)),
    _changed("direction", "bidirectional", "--bidirectional"),
    *(_changed("objects", f"distractors={number}", distractors=number) for number in (0, 5)),
)
# Stronger cells of tensorflow-addons, and Keras's own beside them on the same stack.
CELLS = tuple(
    Setting(f"lstm_cell={cell}", "cells", ("--model=lstm", f"--lstm_cell={cell}"))
    for cell in LSTM_CELLS
)

"""Layers of the backbone that a training leaves as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import keras

from rlstm_tf.errors import UsageError

# What names the blocks of Keras's applications: conv4_block6_out, block_15_add, block5a_se_excite,
# conv_dw_12, mixed9.
_BLOCK = re.compile(r"(?:conv\d+_block|block_?|conv_dw_|conv_pw_|mixed)\d+[a-z]?(?=_|$)")
_KIND = re.compile(r"conv_(dw|pw)_")


def freeze_backbone(model: keras.Model, freeze: str) -> None:
    """Makes layers of a network untrainable: weights stay, stored statistics are used, no dropout.

    Args:
        model: the network, from `build_model`; changed in place.
        freeze: `none`; `trunk`, everything below the cut; or a number N, the first N blocks of the
            backbone (`split_by_block`), those of the local branch's tail included.

    Raises:
        UsageError: the backbone has fewer blocks.
    """
    if freeze == "none":
        return
    trunk = model.get_layer("trunk")
    if freeze == "trunk":
        trunk.trainable = False
        return
    tails = [layer for layer in model.layers if layer.name == "tail"]
    layers = [layer for part in (trunk, *tails) for layer in part.layers]
    blocks = split_by_block([layer.name for layer in layers])
    if int(freeze) > len(blocks):
        raise UsageError(f"--freeze={freeze}: the backbone has {len(blocks)} blocks")
    names = {name for block in blocks[: int(freeze)] for name in block}
    for layer in layers:
        if layer.name in names:
            layer.trainable = False


def split_by_block(names: Sequence[str]) -> list[list[str]]:
    """Groups the layers of a backbone by the blocks that their names tell.

    Layers without a block in their names belong to the next block, as the stem does to the first;
    those after the last block, to none.

    Args:
        names: names of the layers, in the order in which they are computed.

    Returns:
        Names of the layers of each block.
    """
    blocks: dict[str, list[str]] = {}
    waiting: list[str] = []
    for name in names:
        waiting.append(name)
        found = _BLOCK.match(name)
        if found:
            # The two convolutions of a separable one are of one block.
            block = _KIND.sub("conv_", found.group())
            blocks.setdefault(block, []).extend(waiting)
            waiting = []
    return list(blocks.values())

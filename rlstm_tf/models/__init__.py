"""Networks made of the layers: a backbone cut in two, and the branches that the paper adds."""

from __future__ import annotations

from collections.abc import Callable

import keras

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone, build_backbone
from rlstm_tf.models.convlstm import convlstm
from rlstm_tf.models.deprecated import accept_separate_arguments
from rlstm_tf.models.local import local
from rlstm_tf.models.lstm import lstm
from rlstm_tf.models.rlstm import rlstm
from rlstm_tf.models.transformer import transformer
from rlstm_tf.models.tsn import tsn
from rlstm_tf.models.two_branch import two_branch

# By the names of `rlstm_tf.choices.MODELS`.
MODELS: dict[str, Callable[[Backbone, ModelConfig, int], keras.Model]] = {
    network.__name__: network
    for network in (two_branch, rlstm, local, tsn, lstm, convlstm, transformer)
}


@accept_separate_arguments
def build_model(config: ModelConfig, num_classes: int) -> keras.Model:
    """Builds a network on its backbone.

    Args:
        config: options of both.
        num_classes: length of the logits.

    Returns:
        Model of uint8 snippets `[batch, T, S, S, channels]` -> float32 logits
        `[batch, num_classes]`.

    Raises:
        UsageError: the cut is not a layer with a single map, or the LSTM's cell is missing.
        DataError: weights that cannot be read or do not fit.
    """
    backbone = build_backbone(
        config.backbone,
        config.cut,
        config.weights,
        config.image_size,
        config.batch_norm,
        config.batch_norm_momentum,
        config.channels,
    )
    return MODELS[config.model](backbone, config, num_classes)

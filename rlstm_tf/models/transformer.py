"""The two-branch network with a transformer encoder in place of the Relational LSTM."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from rlstm_tf.layers import PositionEmbedding
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import both_branches, classification_head, encode_snippets

NUM_LAYERS = 2
NUM_HEADS = 4
# Width of the hidden layer after each attention, relative to that of the encoder.
EXPANSION = 2


def transformer(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Lets every position of every snippet attend to all; arguments and result as `two_branch`.

    The encoder has about as many parameters as the Relational LSTM: see `encoder_width`.
    """
    frames, maps = encode_snippets(backbone, config)
    channels = maps.shape[-1]
    encoder = transformer_encoder(encoder_width(channels, config.state_size(channels)))
    features = both_branches(maps, backbone, config, encoder)
    head = classification_head(features, config, num_classes)
    return keras.Model(frames, head, name="transformer")


def encoder_width(channels: int, units: int) -> int:
    """Returns the width d at which the encoder is as large as a Relational LSTM.

    Over maps of C channels, a Relational LSTM of u units has 16 C u + 8 u^2 weights, without its
    biases. The encoder has C d to project its input and 8 d^2 in each layer: 4 d^2 in the
    attention, 2 * `EXPANSION` d^2 behind it. d makes the two equal, to the nearest multiple of the
    heads: 48 for C = 64 and u = 32, and about 1.5 u wherever u is half of C.

    Args:
        channels: C, channels of the maps.
        units: u, channels of the Relational LSTM's state.
    """
    weights = 16 * channels * units + 8 * units**2
    squares = NUM_LAYERS * (4 + 2 * EXPANSION)
    width = (math.sqrt(channels**2 + 4 * squares * weights) - channels) / (2 * squares)
    return max(1, round(width / NUM_HEADS)) * NUM_HEADS


def transformer_encoder(width: int) -> Callable[[Any], Any]:
    """Makes a transformer encoder (Vaswani et al., arXiv 1706.03762) over maps.

    Its layers normalize before the attention and before the hidden layer (Xiong et al., arXiv
    2002.04745). Positions in space and time are learned.

    Args:
        width: channels of the encoder, a multiple of `NUM_HEADS`.

    Returns:
        Function from maps `[batch, T, H, W, C]` to `[batch, H, W, width]`: the mean of the encoded
        snippets.
    """

    def encode(maps: Any) -> Any:
        T, H, W = maps.shape[1:4]
        x = keras.layers.Dense(width, name="encoder_input")(maps)
        x = PositionEmbedding(name="encoder_positions")(x)
        x = keras.layers.Reshape((T * H * W, width), name="encoder_tokens")(x)
        for number in range(1, NUM_LAYERS + 1):
            x = _encoder_layer(x, width, f"encoder{number}")
        x = keras.layers.LayerNormalization(epsilon=1e-6, name="encoder_norm")(x)
        x = keras.layers.Reshape((T, H * W * width), name="encoder_segments")(x)
        x = keras.layers.GlobalAveragePooling1D(name="encoder_time")(x)
        return keras.layers.Reshape((H, W, width), name="encoder_map")(x)

    return encode


def _encoder_layer(x: Any, width: int, name: str) -> Any:
    """Applies attention and a hidden layer, each beside a shortcut: `[batch, tokens, width]`."""
    layers = keras.layers
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    attention = layers.MultiHeadAttention(NUM_HEADS, width // NUM_HEADS, name=f"{name}_attention")
    x = layers.Add(name=f"{name}_attention_sum")([x, attention(y, y)])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_hidden_norm")(x)
    y = layers.Dense(EXPANSION * width, activation="gelu", name=f"{name}_hidden")(y)
    y = layers.Dense(width, name=f"{name}_output")(y)
    return layers.Add(name=f"{name}_output_sum")([x, y])

"""The paper's operations as Keras layers."""

from rlstm_tf.layers.batch_normalization import BatchNormalization
from rlstm_tf.layers.frames import FoldTime, PixelScaling, UnfoldTime
from rlstm_tf.layers.non_local import NonLocalOperation
from rlstm_tf.layers.positions import PositionEmbedding
from rlstm_tf.layers.relational_lstm import RelationalLSTM
from rlstm_tf.layers.relational_lstm_cell import RelationalLSTMCell

__all__ = [
    "BatchNormalization",
    "FoldTime",
    "NonLocalOperation",
    "PixelScaling",
    "PositionEmbedding",
    "RelationalLSTM",
    "RelationalLSTMCell",
    "UnfoldTime",
]

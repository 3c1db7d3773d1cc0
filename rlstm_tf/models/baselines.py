"""Import path of the networks before each had a file of its own."""

from __future__ import annotations

from rlstm_tf.models.convlstm import convlstm
from rlstm_tf.models.local import local
from rlstm_tf.models.lstm import lstm
from rlstm_tf.models.rlstm import rlstm
from rlstm_tf.models.tsn import tsn

__all__ = ["convlstm", "local", "lstm", "rlstm", "tsn"]

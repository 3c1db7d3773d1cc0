"""Relational LSTM for video action recognition (arXiv 1811.07059) in TensorFlow and Keras.

Importing this package imports nothing heavy: `python -m rlstm_tf.train --help` answers before
TensorFlow would have loaded.
"""

__version__ = "0.1.0"

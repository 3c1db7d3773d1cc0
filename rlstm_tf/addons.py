"""What is taken from tensorflow-addons, which is imported when that is asked for: extra `addons`.

It loads beside Keras 2.15 alone.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.compat import KERAS_3
from rlstm_tf.errors import UsageError


def tensorflow_addons(flag: str) -> Any:
    """tensorflow-addons, without its warnings, at every import, that its development has ended.

    Args:
        flag: what asks for it, as `--name=value`.

    Raises:
        UsageError: it is not installed, or cannot be.
    """
    todo = "pip install -e '.[addons]', on Python 3.9 - 3.11"
    if KERAS_3:
        raise UsageError(f"{flag} needs tensorflow-addons, which Keras 3 cannot load: {todo}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Tensor[Ff]low Addons", UserWarning)
        try:
            import tensorflow_addons as addons
        except ModuleNotFoundError as error:
            if error.name != "tensorflow_addons":
                raise
            raise UsageError(f"{flag} needs tensorflow-addons, which is missing: {todo}") from None
    return addons


def lamb(learning_rate: Any, weight_decay: float, kernels: list[Any]) -> Any:
    """LAMB with decoupled weight decay, as Keras 3's own does it; its slots not yet made.

    Args:
        learning_rate: a schedule.
        weight_decay: times the learning rate, the share of a kernel that a step takes away.
        kernels: the variables that decay; made in the strategy whose scope this is called in.

    Raises:
        UsageError: as `tensorflow_addons`.
    """
    optimizers = tensorflow_addons("--optimizer=lamb").optimizers
    # Each replica's copy: it is these that a step gets to see, and they do not tell of what.
    copies = tf.distribute.get_strategy().experimental_local_results
    decayed = {copy._unique_id for variable in kernels for copy in copies(variable)}

    class Lamb(optimizers.extend_with_decoupled_weight_decay(optimizers.LAMB)):  # type: ignore[misc]
        """Both bases keep their decay under one name; here only that of the extension is meant."""

        def _prepare_local(self, var_device: Any, var_dtype: Any, apply_state: Any) -> None:
            super()._prepare_local(var_device, var_dtype, apply_state)
            apply_state[var_device, var_dtype]["weight_decay"] = tf.zeros((), var_dtype)

        def _do_use_weight_decay(self, var: Any) -> bool:
            return var._unique_id in decayed

    optimizer: Any = Lamb(
        weight_decay=lambda: weight_decay * learning_rate(optimizer.iterations),
        learning_rate=learning_rate,
        epsilon=1e-7,
    )
    return optimizer


def lstm_cell(name: str, units: int, **kwargs: Any) -> keras.layers.Layer:
    """A cell for `keras.layers.RNN` that Keras itself does not have.

    Args:
        name: `"layer_norm"` (Ba et al., arXiv 1607.06450) or `"peephole"` (Gers et al., 2002).
        units: of the state.
        **kwargs: of `keras.layers.LSTMCell`.

    Raises:
        UsageError: as `tensorflow_addons`.
    """
    rnn = tensorflow_addons(f"--lstm_cell={name}").rnn
    cells = {"layer_norm": rnn.LayerNormLSTMCell, "peephole": rnn.PeepholeLSTMCell}
    return cells[name](units, kernel_initializer=_glorot_uniform, **kwargs)


def _glorot_uniform(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """Draws anew at every call; one initializer would give all peepholes the same weights."""
    return keras.initializers.GlorotUniform()(shape, dtype, **kwargs)

"""The optimizer and the LSTM cells that need tensorflow-addons (extra `addons`), imported lazily.

tensorflow-addons works with Keras 2.15 only.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras

from rlstm_tf.compat import KERAS_3
from rlstm_tf.errors import UsageError


def tensorflow_addons(flag: str) -> Any:
    """Imports tensorflow-addons without its warnings about the end of its development.

    Args:
        flag: the flag that needs it, as `--name=value`, for the error message.

    Raises:
        UsageError: it is not installed, or Keras is too new.
    """
    hint = "pip install -e '.[addons]', on Python 3.9 - 3.11"
    if KERAS_3:
        raise UsageError(f"{flag} needs tensorflow-addons, which Keras 3 cannot load: {hint}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Tensor[Ff]low Addons", UserWarning)
        try:
            import tensorflow_addons as addons
        except ModuleNotFoundError as error:
            if error.name != "tensorflow_addons":
                raise
            raise UsageError(f"{flag} needs tensorflow-addons, which is missing: {hint}") from None
    return addons


def lamb(learning_rate: Any, weight_decay: float, kernels: list[Any]) -> Any:
    """Makes LAMB with decoupled weight decay, like that of Keras 3; its slots are not created yet.

    Args:
        learning_rate: schedule of the learning rate.
        weight_decay: share of a kernel, times the learning rate, that a step subtracts.
        kernels: variables that decay, created under the current strategy.

    Raises:
        UsageError: tensorflow-addons cannot be imported.
    """
    # Here, because networks import this module under other backends too.
    import tensorflow as tf

    optimizers = tensorflow_addons("--optimizer=lamb").optimizers
    # A step sees each replica's copy, which does not refer to its variable.
    copies = tf.distribute.get_strategy().experimental_local_results
    decayed = {copy._unique_id for variable in kernels for copy in copies(variable)}

    class Lamb(optimizers.extend_with_decoupled_weight_decay(optimizers.LAMB)):  # type: ignore[misc]
        """Switches off the decay of LAMB itself, which has the name of the extension's decay."""

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
    """Makes an LSTM cell for `keras.layers.RNN` that Keras does not have.

    Args:
        name: `"layer_norm"` (Ba et al., arXiv 1607.06450) or `"peephole"` (Gers et al., 2002).
        units: channels of the state.
        **kwargs: further arguments of `keras.layers.LSTMCell`.

    Raises:
        UsageError: tensorflow-addons cannot be imported.
    """
    rnn = tensorflow_addons(f"--lstm_cell={name}").rnn
    cells = {"layer_norm": rnn.LayerNormLSTMCell, "peephole": rnn.PeepholeLSTMCell}
    return cells[name](units, kernel_initializer=_glorot_uniform, **kwargs)


def _glorot_uniform(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """Uses a new initializer each time: one alone would give all peepholes the same weights."""
    return keras.initializers.GlorotUniform()(shape, dtype, **kwargs)

"""The Relational LSTM (eq. 3 of arXiv 1811.07059) over a sequence of maps."""

from __future__ import annotations

from typing import Any

import keras

from rlstm_tf.compat import ops
from rlstm_tf.layers.arguments import upgrade_config
from rlstm_tf.layers.relational_lstm_cell import RelationalLSTMCell


def _cell_property(name: str) -> property:
    return property(lambda layer: getattr(layer.cell, name), doc=f"`{name}` of the cell.")


@keras.saving.register_keras_serializable("rlstm_tf")
class RelationalLSTM(keras.layers.RNN):
    """The Relational LSTM: a recurrent layer over maps, used like `keras.layers.LSTM`.

    Equal to `keras.layers.RNN(RelationalLSTMCell(units))`, but computes all that does not depend on
    the state for all T at once. `RelationalLSTMCell` has the equations and the layout of the
    weights; `layer.cell` is such a cell.

    Args:
        units: channels of H_t and C_t; C / 2 in the paper.
        pairwise: function f of eq. 2: `"embedded_gaussian"` (the paper's), `"dot_product"` or
            `"concatenation"`.
        attention_scale: factor on theta(x_i)^T phi(y_j); 1 in the paper.
        attention_norm: normalize theta and phi, with a learned gain (`rlstm_tf.layers.relation` has
            the equations of this and the next two, which the paper does not have).
        local_term: add a depthwise convolution of g to each operation; needs maps.
        displacement_term: add how far the attended positions are; needs maps.
        unit_forget_bias: add 1 to the forget gate's bias at first; the default in Keras's LSTM.
        use_bias: add a bias to each embedding.
        kernel_initializer: initializer of each embedding of X_t.
        recurrent_initializer: initializer of each embedding of H_{t-1}; `kernel_initializer` if
            None.
        bias_initializer: initializer of the biases.
        kernel_regularizer: regularizer of `kernel`.
        recurrent_regularizer: regularizer of `recurrent_kernel`.
        bias_regularizer: regularizer of the biases.
        kernel_constraint: constraint on `kernel`.
        recurrent_constraint: constraint on `recurrent_kernel`.
        bias_constraint: constraint on the biases.
        return_sequences: return H_1 ... H_T instead of H_T.
        return_state: also return H_T and C_T.
        go_backwards: process X_T ... X_1.
        stateful: start each batch from the last state of the batch before.
        unroll: build a graph without a loop, which is faster; needs a static T.
        **kwargs: further arguments of `keras.layers.RNN`.

    Call arguments:
        sequences: X_1 ... X_T.
        initial_state: `[H_0, C_0]`, each `[batch, H, W, units]`; zeros if None, as in the paper.
        mask: bool `[batch, T]`; a step with False keeps the state. Or as `keras.layers.Masking`
            gives it, `[batch, T, H, W]` or `[batch, T, N]`: a step with False everywhere keeps it.
        training: has no effect.

    Input shape:
        `[batch, T, H, W, C]` or `[batch, T, N, C]`; H, W, N and C are static.

    Output shape:
        `[batch, H, W, units]`, with `return_sequences` `[batch, T, H, W, units]`; likewise with N.

    Raises:
        ValueError: an argument is invalid, or an input has another rank or an unknown size.

    Example:
        >>> maps = np.random.normal(size=(2, 8, 7, 7, 64)).astype("float32")
        >>> layer = RelationalLSTM(32)
        >>> tuple(layer(maps).shape)
        (2, 7, 7, 32)
        >>> both = keras.layers.Bidirectional(RelationalLSTM(16, return_sequences=True))
        >>> tuple(both(maps).shape)
        (2, 8, 7, 7, 32)
    """

    def __init__(
        self,
        units: int,
        pairwise: str = "embedded_gaussian",
        attention_scale: float = 1.0,
        *,
        attention_norm: bool = False,
        local_term: bool = False,
        displacement_term: bool = False,
        unit_forget_bias: bool = False,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = None,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = RelationalLSTMCell(
            units,
            pairwise=pairwise,
            attention_scale=attention_scale,
            attention_norm=attention_norm,
            local_term=local_term,
            displacement_term=displacement_term,
            unit_forget_bias=unit_forget_bias,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dtype=kwargs.get("dtype"),
            name="cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )

    units = _cell_property("units")
    pairwise = _cell_property("pairwise")
    attention_scale = _cell_property("attention_scale")
    attention_norm = _cell_property("attention_norm")
    local_term = _cell_property("local_term")
    displacement_term = _cell_property("displacement_term")
    unit_forget_bias = _cell_property("unit_forget_bias")
    use_bias = _cell_property("use_bias")
    kernel_initializer = _cell_property("kernel_initializer")
    recurrent_initializer = _cell_property("recurrent_initializer")
    bias_initializer = _cell_property("bias_initializer")
    kernel_regularizer = _cell_property("kernel_regularizer")
    recurrent_regularizer = _cell_property("recurrent_regularizer")
    bias_regularizer = _cell_property("bias_regularizer")
    kernel_constraint = _cell_property("kernel_constraint")
    recurrent_constraint = _cell_property("recurrent_constraint")
    bias_constraint = _cell_property("bias_constraint")

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False
    ) -> Any:
        """Returns H_T, or what `return_sequences` and `return_state` select."""
        if isinstance(sequences, (list, tuple)):  # symbolic initial states, under Keras 2.15
            sequences, *initial_state = sequences
        if initial_state is not None:
            if not isinstance(initial_state, (list, tuple)) or len(initial_state) != 2:
                raise ValueError(f"initial_state must be [H_0, C_0]. Received: {initial_state!r}")
            initial_state = [ops.cast(state, self.compute_dtype) for state in initial_state]
        terms = self.cell.relate(sequences)
        mask = _mask_of_steps(mask, sequences.shape)
        if mask is not None:
            # One axis for each of a state's: Keras's JAX loop does not add them.
            axes = (..., *[None] * (len(sequences.shape) - 2))
            mask = mask[axes]
        return super().call(terms, initial_state=initial_state, mask=mask, training=training)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """Returns the mask of the outputs, `[batch, T]` if they have a time axis."""
        sequences = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        return super().compute_mask(inputs, _mask_of_steps(mask, sequences.shape))

    # Keras 3 goes by the argument names of the next two.
    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell."""
        super().build(_shape_of_sequences(sequences_shape))

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """Returns the shape of H_T, or of what `return_sequences` and `return_state` select."""
        # Keras 3 takes the states of an RNN for vectors.
        batch, time, *map_shape, _ = _shape_of_sequences(sequences_shape)
        state = (batch, *map_shape, self.units)
        output = (batch, time, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["cell"]
        return {**self.cell.get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RelationalLSTM:
        """Creates the layer from `get_config`, of version 0.1.0 too."""
        return cls(**upgrade_config(config))


def _mask_of_steps(mask: Any, shape: Any) -> Any:
    """Returns the mask of the sequences as `[batch, T]`: Keras 2.15 lists those of states too."""
    mask = mask[0] if isinstance(mask, (list, tuple)) else mask
    if mask is None:
        return None
    allowed = tuple(shape)[1:-1]
    sizes = tuple(mask.shape)[1:]
    if len(sizes) not in (1, len(allowed)) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(sizes, allowed)
    ):
        raise ValueError(
            f"mask must be [batch, T] or [batch, T, H, W] for {tuple(shape)}. "
            f"Received: a mask of shape {tuple(mask.shape)}"
        )
    mask = ops.cast(mask, "bool")
    return mask if len(sizes) == 1 else ops.any(mask, axis=tuple(range(2, len(sizes) + 1)))


def _shape_of_sequences(shape: Any) -> tuple[int | None, ...]:
    """Returns the first shape if there are several: Keras 2.15 lists those of initial states."""
    nested = isinstance(shape, list) and not isinstance(shape[0], (int, type(None)))
    return tuple(shape[0] if nested else shape)

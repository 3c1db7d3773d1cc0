"""The Relational LSTM (eq. 3 of arXiv 1811.07059) as a layer over a sequence of maps."""

from __future__ import annotations

from typing import Any

import keras

from rlstm_tf.layers.relational_lstm_cell import RelationalLSTMCell


class _Recurrence(RelationalLSTMCell):
    """The cell inside `RelationalLSTM`, which has called `relate` for all T before the loop."""

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        return self.recur(inputs, states)


@keras.saving.register_keras_serializable("rlstm_tf")
class RelationalLSTM(keras.layers.RNN):
    """The Relational LSTM over a sequence of maps; the same numbers as `RNN(RelationalLSTMCell)`.

    All that needs no recurrence is computed for all T at once, and the symbolic shapes are right on
    Keras 3 too, which takes the state of a stock `RNN` for a vector.

    Args:
        units: channels of H_t and C_t; C / 2 in the paper.
        pairwise: as in `RelationalLSTMCell`.
        attention_scale: as in `RelationalLSTMCell`.
        embeddings: as in `RelationalLSTMCell`.
        kernel_initializer: as in `RelationalLSTMCell`.
        bias_initializer: as in `RelationalLSTMCell`.
        kernel_regularizer: as in `RelationalLSTMCell`.
        return_sequences: return H_1 ... H_T instead of H_T.
        return_state: also return H_T and C_T.
        go_backwards: from X_T to X_1.
        stateful: start from where the last batch ended.
        unroll: a graph without a loop. Segments are few, so this is the default; it needs T static.
        **kwargs: of `keras.layers.RNN`.

    Call arguments:
        sequences: X_1 ... X_T.
        initial_state: [H_0, C_0], each `[batch, H, W, units]`; zeros if None, as in the paper.
        mask: `[batch, T]`, False where a step is to be skipped.
        training: not used.

    Input shape:
        `[batch, T, H, W, C]` or `[batch, T, N, C]`, H, W, N and C static.

    Output shape:
        `[batch, H, W, units]`, or `[batch, T, H, W, units]` with `return_sequences`;
        `[batch, (T,) N, units]` for sequences of `[N, C]`.
    """

    def __init__(
        self,
        units: int,
        pairwise: str = "embedded_gaussian",
        attention_scale: float = 1.0,
        embeddings: str = "separate",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = True,
        **kwargs: Any,
    ) -> None:
        cell = _Recurrence(
            units,
            pairwise=pairwise,
            attention_scale=attention_scale,
            embeddings=embeddings,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
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

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False
    ) -> Any:
        """Returns H_T, or what `return_sequences` and `return_state` ask for."""
        if isinstance(sequences, (list, tuple)):  # symbolic initial states, under Keras 2.15
            sequences, *initial_state = sequences
        terms = self.cell.relate(sequences)
        return super().call(terms, initial_state=initial_state, mask=mask, training=training)

    # The argument names of the next two matter to Keras 3.
    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell."""
        super().build(_shape_of_sequences(sequences_shape))

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """Shape of H_T, or shapes of what `return_sequences` and `return_state` ask for."""
        batch, time, *map_shape, _ = _shape_of_sequences(sequences_shape)
        state = (batch, *map_shape, self.cell.units)
        output = (batch, time, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for saving."""
        config = super().get_config()
        del config["cell"]
        cell = self.cell.get_config()
        return {**cell, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RelationalLSTM:
        """The layer that `get_config` described."""
        return cls(**config)


def _shape_of_sequences(shape: Any) -> tuple[int | None, ...]:
    """Keras 2.15 gives a list of shapes where there are symbolic initial states."""
    nested = isinstance(shape, list) and not isinstance(shape[0], (int, type(None)))
    return tuple(shape[0] if nested else shape)

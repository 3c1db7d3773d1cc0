"""Networks that answer after each snippet of a stream, from a state, with the weights of a clip's.

After n snippets the logits are those of the network for clips of n snippets (`num_segments=n`).
docs/streaming.md has the equations, and what forgetting costs.
"""

from __future__ import annotations

from math import prod
from typing import Any

import keras

from rlstm_tf.choices import MAX_WINDOW
from rlstm_tf.compat import first_call, ops
from rlstm_tf.errors import UsageError
from rlstm_tf.models.branches import BACKWARD

# Layers that reduce the time axis, averages and recurrent ones, and the `UnfoldTime` before each.
_MEANS = {"local_time": "local_segments", "consensus": "score_segments"}
_RECURRENT = {"relational_lstm": "segments", "conv_lstm": "segments", "lstm": "local_segments"}

State = dict[str, Any]


class StreamingModel:
    """One step of a trained network: (snippet, state) -> (logits, state).

    With x_n, the features of snippet n that the network averages, and X_n, the maps or features
    that its recurrent layer takes, for a decay d in 0..1:

        w_n = d w_{n-1} + 1
        m_n = m_{n-1} + (x_n - m_{n-1}) / w_n
        H_n, C_n = cell(X_n, d H_{n-1}, d C_{n-1})

    The logits follow from m_n and H_n, of which a network has one or both. With d = 1, w_n = n and
    m_n is the average of x_1 ... x_n. A state is a dictionary of float32 tensors, a row for each
    stream of the batch:

        decay     [batch]            d; each stream may have its own
        weight    [batch]            w_n
        mean      [batch, K]         m_n
        H, C      [batch, ...]       state of the recurrent layer

    With a window, the state keeps the newest x and X instead, and a step runs the equations over
    them from a new start:

        decay     [batch]
        count     [batch]            snippets in the window so far
        features  [batch, window, K]
        X         [batch, window, K]

    Args:
        model: network of `rlstm_tf.models`, whose layers the step shares; not changed.
        window: W, to answer for the last W snippets alone; None = for all since the start.

    Attributes:
        window: as given.
        snippet_shape: (S, S, channels) of a snippet.
        state_shapes: shape of each tensor of a state, without the batch axis.

    Raises:
        UsageError: the network cannot stream, or the window is out of range.

    Example:
        >>> config = ModelConfig(backbone="tiny_resnetv2", weights="none", image_size=32)
        >>> stream = StreamingModel(build_model(config, num_classes=5))
        >>> state = stream.init_state(batch_size=2)
        >>> for _ in range(3):
        ...     logits, state = stream.step(np.zeros((2, 32, 32, 3), "uint8"), state)
        >>> tuple(logits.shape), state["weight"].numpy().tolist()
        ((2, 5), [3.0, 3.0])
    """

    def __init__(self, model: keras.Model, window: int | None = None) -> None:
        if window is not None and not 1 <= window <= MAX_WINDOW:
            raise UsageError(f"a window has 1 to {MAX_WINDOW} snippets, not {window}")
        layers = {layer.name: layer for layer in model.layers}
        means = [name for name in _MEANS if name in layers]
        forward = [name for name in _RECURRENT if name in layers]
        backward = [name + BACKWARD for name in forward if name + BACKWARD in layers]
        if backward and window is None:
            raise UsageError(
                f"a bidirectional {model.name} cannot stream without a window: half of it begins "
                "with the last snippet, which a stream does not have yet: give a window, --window=T"
            )
        reduced = [first_call(layers[name])[1] for name in (*means, *forward, *backward)]
        self._classify = _upper_part(reduced, model)
        # What the reducing layers take of each snippet, by its name in a state with a window.
        names = {"features": [_MEANS[name] for name in means]}
        names["X"] = [_RECURRENT[name] for name in forward]
        encoded = {name: first_call(layers[it[0]])[0] for name, it in names.items() if it}
        snippets = first_call(layers["fold"])[1]
        self._encode = keras.Model(snippets, encoded)
        self._normalize = layers.get("non_local_bn")
        self._cell, self._back = (
            layers[names[0]].cell if names else None for names in (forward, backward)
        )
        self.window = window
        self.snippet_shape = tuple(snippets.shape[1:])
        self._reduced_shapes: dict[str, tuple[int, ...]] = {"weight": ()}
        if means:
            self._reduced_shapes["mean"] = tuple(reduced[0].shape[1:])
        if forward:
            H = tuple(reduced[len(means)].shape[1:])
            self._reduced_shapes.update(H=H, C=H)
        self.state_shapes = {"decay": (), **self._reduced_shapes}
        self._encoded_shapes = {name: tuple(x.shape[1:]) for name, x in encoded.items()}
        if window is not None:
            # A snippet's maps are kept as one row: phones' accelerators take four axes at most.
            kept = {name: (window, prod(shape)) for name, shape in self._encoded_shapes.items()}
            self.state_shapes = {"decay": (), "count": (), **kept}

    def init_state(self, batch_size: Any, decay: Any = 1.0) -> State:
        """Returns the state before the first snippet.

        Args:
            batch_size: number of streams, an integer or an integer tensor.
            decay: d in 0..1, one number or `[batch]`; 1 = forget nothing.
        """
        state = _zeros(self.state_shapes, batch_size)
        state["decay"] += ops.cast(decay, "float32")
        return state

    def step(self, snippets: Any, state: State) -> tuple[Any, State]:
        """Takes the next snippet of each stream.

        Args:
            snippets: uint8 `[batch, S, S, channels]`.
            state: from `init_state` or the step before.

        Returns:
            Logits, float32 `[batch, classes]`, and the new state.
        """
        encoded = self._encode(snippets, training=False)
        if "X" in encoded and self._normalize is not None:
            encoded["X"] = self._normalize(encoded["X"], training=False)
        encoded = {name: ops.cast(value, "float32") for name, value in encoded.items()}
        if self.window is None:
            state = self._reduce(encoded, state)
            return self._to_logits(state), state
        kept = {
            name: ops.concatenate([state[name][:, 1:], _as_row(value)], axis=1)
            for name, value in encoded.items()
        }
        count = ops.minimum(state["count"] + 1.0, float(self.window))
        state = {"decay": state["decay"], "count": count, **kept}
        return self._to_logits(self._reduce_window(state, self.window)), state

    def _reduce(self, encoded: State, state: State) -> State:
        """Computes the equations of a step."""
        decay, weight = state["decay"], state["decay"] * state["weight"] + 1.0
        new = {"decay": decay, "weight": weight}
        if "mean" in state:
            mean = state["mean"]
            new["mean"] = mean + (encoded["features"] - mean) / weight[:, None]
        if "H" in state:
            H, C = (_per_row(decay, state[name]) * state[name] for name in "HC")
            new["H"], new["C"] = _run(self._cell, encoded["X"], H, C)
        return new

    def _reduce_window(self, state: State, W: int) -> State:
        """Computes the equations of a step for each snippet in the window, from a new start.

        The second half of a bidirectional network runs from the newest snippet to the oldest. Its
        result is `H_back`, without decay: the state of one that streams has no such half.
        """
        decay = state["decay"]
        snippets = [
            {
                name: ops.reshape(state[name][:, t], (-1, *shape))
                for name, shape in self._encoded_shapes.items()
            }
            for t in range(W)
        ]
        # The newest snippet is the last; a stream with n < W has none in the first W - n places.
        present = [state["count"] >= float(W - t) for t in range(W)]
        reduced = {"decay": decay, **_zeros(self._reduced_shapes, ops.shape(decay)[0])}
        for t in range(W):
            reduced = _where(present[t], self._reduce(snippets[t], reduced), reduced)
        if self._back is not None:
            back = {name: ops.zeros_like(reduced["H"]) for name in "HC"}
            for t in reversed(range(W)):
                H, C = _run(self._back, snippets[t]["X"], **back)
                back = _where(present[t], {"H": H, "C": C}, back)
            reduced["H_back"] = back["H"]
        return reduced

    def _to_logits(self, reduced: State) -> Any:
        inputs = [reduced[name] for name in ("mean", "H", "H_back") if name in reduced]
        return self._classify(inputs, training=False)


def _upper_part(reduced: list[Any], model: keras.Model) -> Any:
    """Returns the part of a network from its reduced features to the logits.

    Raises:
        UsageError: the logits need more than these features.
    """
    if len(reduced) == 1 and reduced[0] is model.output:
        return lambda inputs, training: inputs[0]
    try:
        return keras.Model(reduced, model.output)
    except ValueError:
        raise UsageError(
            f"{model.name} cannot stream: it needs all snippets for each answer, and has no state"
        ) from None


def _run(cell: keras.layers.Layer, X: Any, H: Any, C: Any) -> tuple[Any, Any]:
    """Runs one step of a recurrent cell in its own precision; the states are float32."""
    dtype = cell.compute_dtype
    states = [ops.cast(H, dtype), ops.cast(C, dtype)]
    _, (H, C) = cell(ops.cast(X, dtype), states, training=False)
    return ops.cast(H, "float32"), ops.cast(C, "float32")


def _zeros(shapes: dict[str, tuple[int, ...]], batch_size: Any) -> State:
    return {name: ops.zeros((batch_size, *shape), "float32") for name, shape in shapes.items()}


def _as_row(value: Any) -> Any:
    """Flattens `[batch, ...]` to `[batch, 1, K]`."""
    return ops.reshape(value, (-1, 1, prod(value.shape[1:])))


def _where(condition: Any, state: State, other: State) -> State:
    """Chooses between two states, stream by stream."""
    return {
        name: ops.where(_per_row(condition, value), value, other[name])
        for name, value in state.items()
    }


def _per_row(values: Any, state: Any) -> Any:
    """Adds axes of size 1 to `[batch]`, to go with a state."""
    return ops.reshape(values, (-1, *[1] * (len(state.shape) - 1)))

"""The cell of the Relational LSTM: its gates are non-local operations (arXiv 1811.07059, eq. 3)."""

from __future__ import annotations

from math import prod
from typing import Any

import keras

from rlstm_tf import compat
from rlstm_tf.choices import PAIRWISE
from rlstm_tf.compat import ops
from rlstm_tf.layers.initialization import SideBySide
from rlstm_tf.layers.non_local import attend, attention, check_pairwise

GATES = ("i", "f", "o", "g")
# The embeddings of X_t and of H_{t-1}; *_x belong to r(X_t, X_t), *_h to r(X_t, H_{t-1}).
OF_INPUT = ("theta_x", "phi_x", "g_x", "theta_h")
OF_STATE = ("phi_h", "g_h")
EMBEDDINGS = ("separate", "shared")


@keras.saving.register_keras_serializable("rlstm_tf")
class RelationalLSTMCell(keras.layers.Layer):
    """One step of the Relational LSTM, for `keras.layers.RNN`.

        i_t = sigmoid(r_ix(X_t, X_t) + r_ih(X_t, H_{t-1}))
        f_t = sigmoid(r_fx(X_t, X_t) + r_fh(X_t, H_{t-1}))
        o_t = sigmoid(r_ox(X_t, X_t) + r_oh(X_t, H_{t-1}))
        g_t = tanh   (r_gx(X_t, X_t) + r_gh(X_t, H_{t-1}))
        C_t = f_t * C_{t-1} + i_t * g_t
        H_t = o_t * tanh(C_t)                                               (eq. 3)

    Each of the eight operations r is a generalized non-local operation (`NonLocalOperation`) with
    its own theta, phi and g. Their kernels stand side by side in two weights, so that one matrix
    product embeds X_t for all gates and one embeds H_{t-1}; `embedding` takes one out. With
    `embeddings="shared"`, which is not in the paper, the four gates have theta and phi in common:
    they look at the same places, and take something else from there.

    A step is `recur(relate(X_t), states)`. `relate` needs no recurrence, so `RelationalLSTM` calls
    it for all T at once and leaves the loop phi_h, g_h and one attention a gate.

    Args:
        units: channels of H_t and C_t, and size of the embeddings; C / 2 in the paper.
        pairwise: `"embedded_gaussian"` (the paper's), `"dot_product"` or `"concatenation"`.
        attention_scale: factor on theta(x_i)^T phi(y_j); 1 in the paper.
        embeddings: `"separate"` (the paper's): theta and phi for each gate; or `"shared"`.
        kernel_initializer: of each embedding.
        bias_initializer: of each embedding's bias.
        kernel_regularizer: on the two weights that hold the kernels.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: X_t.
        states: [H_{t-1}, C_{t-1}].

    Input shape:
        X_t `[batch, H, W, C]` or `[batch, N, C]`, H, W and N static.

    Output shape:
        H_t and the states [H_t, C_t], `[batch, H, W, units]` or `[batch, N, units]`.

    Raises:
        ValueError: unknown `pairwise` or `embeddings`; an input of another rank or of unknown size.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.pairwise = check_pairwise(pairwise, PAIRWISE)
        self.attention_scale = attention_scale
        if embeddings not in EMBEDDINGS:
            raise ValueError(f"embeddings must be one of {EMBEDDINGS}. Received: {embeddings!r}")
        self.embeddings = embeddings
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.map_shape: tuple[int, ...] = ()

    @property
    def output_size(self) -> Any:
        """Size of H_t without its batch axis."""
        return self.state_size[0]

    @property
    def state_size(self) -> list[Any]:
        """Sizes of H_t and C_t without their batch axis; of maps once built."""
        return compat.state_size([(*self.map_shape, self.units)] * 2)

    def build(self, input_shape: Any) -> None:
        """Adds the embeddings of X_t and of H_{t-1}."""
        *map_shape, channels = tuple(input_shape)[1:]
        if len(map_shape) not in (1, 2) or None in map_shape or channels is None:
            raise ValueError(
                "RelationalLSTMCell takes X_t [batch, H, W, C] or [batch, N, C] with H, W, N and C "
                f"known. Received: {tuple(input_shape)}"
            )
        self.map_shape = tuple(map_shape)
        self.kernel, self.bias, self.w_f = self._add_embeddings("", channels, OF_INPUT)
        self.recurrent_kernel, self.recurrent_bias, self.recurrent_w_f = self._add_embeddings(
            "recurrent_", self.units, OF_STATE
        )
        self.built = True

    def _add_embeddings(self, prefix: str, channels: int, roles: tuple[str, ...]) -> tuple:
        parts = sum(map(self._parts, roles))
        kernel = self.add_weight(
            name=f"{prefix}kernel",
            shape=(channels, parts * self.units),
            initializer=SideBySide(self.kernel_initializer, parts),
            regularizer=self.kernel_regularizer,
        )
        bias = self.add_weight(
            name=f"{prefix}bias",
            shape=(parts * self.units,),
            initializer=SideBySide(self.bias_initializer, parts),
        )
        w_f = None
        if self.pairwise == "concatenation":
            w_f = self.add_weight(
                name=f"{prefix}w_f",
                shape=(self._parts("theta_x"), 2, self.units),
                initializer="glorot_uniform",
            )
        return kernel, bias, w_f

    def embedding(self, role: str, gate: str) -> tuple[Any, Any]:
        """The kernel and bias of one embedding of one operation.

        Args:
            role: `"theta_x"`, `"phi_x"`, `"g_x"` of r(X_t, X_t); `"theta_h"`, `"phi_h"`, `"g_h"` of
                r(X_t, H_{t-1}).
            gate: `"i"`, `"f"`, `"o"` or `"g"`.

        Returns:
            kernel `[C, units]` (`[units, units]` for phi_h and g_h) and bias `[units]`.
        """
        roles: tuple[str, ...]
        if role in OF_INPUT:
            roles, kernel, bias = OF_INPUT, self.kernel, self.bias
        else:
            roles, kernel, bias = OF_STATE, self.recurrent_kernel, self.recurrent_bias
        before = sum(map(self._parts, roles[: roles.index(role)]))
        first = (before + GATES.index(gate) % self._parts(role)) * self.units
        part = slice(first, first + self.units)
        return kernel[:, part], bias[part]

    def _parts(self, role: str) -> int:
        """Embeddings of a role: one a gate, or one for all gates."""
        shared = self.embeddings == "shared" and not role.startswith("g_")
        return 1 if shared else len(GATES)

    def relate(self, X: Any) -> Any:
        """What eq. 3 takes from the inputs alone: r(X_t, X_t), and theta of r(X_t, H_{t-1}).

        Args:
            X: `[batch, H, W, C]` or `[batch, N, C]`; with a time axis after the batch axis, all T
                at once.

        Returns:
            `[batch, (T,) 2, gates, N, units]`: r(X_t, X_t), then theta_h, for i, f, o, g.
        """
        N, channels = prod(self.map_shape), X.shape[-1]
        w, g_x, theta_h = self._spatial(ops.reshape(X, (-1, N, channels)))
        terms = ops.stack([attend(w, g_x), theta_h], axis=1)
        time = X.shape[1:-1][: len(X.shape) - 2 - len(self.map_shape)]
        return ops.reshape(terms, (-1, *time, 2, len(GATES), N, self.units))

    def recur(self, terms: Any, states: Any) -> tuple[Any, list[Any]]:
        """The rest of eq. 3.

        Args:
            terms: of `relate`, `[batch, 2, gates, N, units]`.
            states: [H_{t-1}, C_{t-1}].

        Returns:
            H_t and [H_t, C_t].
        """
        N = prod(self.map_shape)
        H, C = (ops.reshape(state, (-1, N, self.units)) for state in states)
        i, f, o, g = self.gates(terms, H)
        C = f * C + i * g
        H = o * ops.tanh(C)
        H, C = (ops.reshape(x, (-1, *self.map_shape, self.units)) for x in (H, C))
        return H, [H, C]

    def gates(self, terms: Any, H: Any) -> tuple[Any, Any, Any, Any]:
        """i_t, f_t, o_t and g_t of eq. 3.

        Args:
            terms: of `relate`, `[batch, 2, gates, N, units]`.
            H: H_{t-1} `[batch, N, units]`.

        Returns:
            `[batch, N, units]` each.
        """
        r_x, theta_h = ops.unstack(terms, axis=1)
        w, g_h = self._temporal(theta_h, H)
        i, f, o, g = ops.unstack(r_x + attend(w, g_h), axis=1)
        return ops.sigmoid(i), ops.sigmoid(f), ops.sigmoid(o), ops.tanh(g)

    def weights_of(self, X: Any, H: Any) -> tuple[Any, Any]:
        """The weights w_ij of the eight operations: what each position takes from each other.

        Args:
            X: X_t, `[batch, H, W, C]` or `[batch, N, C]`.
            H: H_{t-1}, `[batch, H, W, units]` or `[batch, N, units]`.

        Returns:
            w_ij of r(X_t, X_t) and of r(X_t, H_{t-1}), each `[batch, gates, N, N]`, for i, f, o, g.
        """
        N = prod(self.map_shape)
        w_x, _, theta_h = self._spatial(ops.reshape(X, (-1, N, X.shape[-1])))
        w_h, _ = self._temporal(theta_h, ops.reshape(H, (-1, N, self.units)))
        return w_x, w_h

    def _spatial(self, X: Any) -> tuple[Any, Any, Any]:
        """Of r(X_t, X_t) w_ij and g, and theta of r(X_t, H_{t-1})."""
        theta_x, phi_x, g_x, theta_h = self._embed(X, self.kernel, self.bias, OF_INPUT)
        w = self._attention(theta_x, phi_x, self.w_f)
        return w, g_x, theta_h

    def _temporal(self, theta_h: Any, H: Any) -> tuple[Any, Any]:
        """Of r(X_t, H_{t-1}) w_ij and g."""
        phi_h, g_h = self._embed(H, self.recurrent_kernel, self.recurrent_bias, OF_STATE)
        w = self._attention(theta_h, phi_h, self.recurrent_w_f)
        return w, g_h

    def _embed(self, x: Any, kernel: Any, bias: Any, roles: tuple[str, ...]) -> list[Any]:
        """`[batch, N, C]` -> for each role `[batch, gates, N, units]`."""
        N, channels = x.shape[1:]
        embedded = ops.matmul(ops.reshape(x, (-1, channels)), kernel) + bias
        if self.embeddings == "separate":
            # One transposition for all roles, which then lie one behind the other.
            embedded = ops.reshape(embedded, (-1, N, len(roles), len(GATES), self.units))
            return ops.unstack(ops.transpose(embedded, (2, 0, 3, 1, 4)), axis=0)
        parts = list(map(self._parts, roles))
        embedded = ops.reshape(embedded, (-1, N, sum(parts), self.units))
        embedded = compat.split(ops.transpose(embedded, (0, 2, 1, 3)), parts, axis=1)
        return [_of_all_gates(part, axis=1) for part in embedded]

    def _attention(self, theta: Any, phi: Any, w_f: Any) -> Any:
        w_f = None if w_f is None else _of_all_gates(w_f, axis=0)
        return attention(theta, phi, self.pairwise, self.attention_scale, w_f)

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        """Returns H_t and [H_t, C_t]."""
        return self.recur(self.relate(inputs), states)

    def get_initial_state(
        self, inputs: Any = None, batch_size: Any = None, dtype: Any = None
    ) -> list[Any]:
        """H_0 = C_0 = 0. The arguments are those of Keras 2; Keras 3 gives `batch_size` alone."""
        shape = (batch_size, *self.map_shape, self.units)
        return [ops.zeros(shape, dtype=dtype or self.compute_dtype) for _ in range(2)]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for saving."""
        return {
            **super().get_config(),
            "units": self.units,
            "pairwise": self.pairwise,
            "attention_scale": self.attention_scale,
            "embeddings": self.embeddings,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _of_all_gates(x: Any, axis: int) -> Any:
    """What the gates have in common, once for each of them.

    Not left to broadcasting: TensorFlow 2.21's products on CPUs are wrong where they broadcast.
    """
    return ops.repeat(x, len(GATES), axis=axis) if x.shape[axis] == 1 else x

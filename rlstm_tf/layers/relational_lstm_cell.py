"""The cell of the Relational LSTM: eq. 3 of arXiv 1811.07059."""

from __future__ import annotations

from math import prod
from typing import Any

import keras

from rlstm_tf import compat
from rlstm_tf.choices import PAIRWISE
from rlstm_tf.compat import ops
from rlstm_tf.layers.arguments import check_pairwise, check_shape, check_units, upgrade_config
from rlstm_tf.layers.initialization import BlockwiseInitializer
from rlstm_tf.layers.relation import TERMS, Relation, embed

GATES = ("i", "f", "o", "g")
# Blocks of `kernel` and of `recurrent_kernel`, each for the four gates. *_x belong to r(X_t, X_t),
# *_h to r(X_t, H_{t-1}).
INPUT_EMBEDDINGS: tuple[str, ...] = ("theta_x", "phi_x", "g_x", "theta_h")
STATE_EMBEDDINGS: tuple[str, ...] = ("phi_h", "g_h")


@keras.saving.register_keras_serializable("rlstm_tf")
class RelationalLSTMCell(keras.layers.Layer):
    """One step of the Relational LSTM, for `keras.layers.RNN`.

        i_t = sigmoid(r_ix(X_t, X_t) + r_ih(X_t, H_{t-1}))
        f_t = sigmoid(r_fx(X_t, X_t) + r_fh(X_t, H_{t-1}))
        o_t = sigmoid(r_ox(X_t, X_t) + r_oh(X_t, H_{t-1}))
        g_t = tanh   (r_gx(X_t, X_t) + r_gh(X_t, H_{t-1}))
        C_t = f_t * C_{t-1} + i_t * g_t
        H_t = o_t * tanh(C_t)                                               (eq. 3)

    Each of the eight operations r is a `NonLocalOperation` with its own theta, phi and g. Their
    kernels share two weights, so that one matrix product embeds X_t and one embeds H_{t-1};
    `embedding` returns one of them.

    Weights:
        kernel: `[C, 16 * units]`, blocks theta_x, phi_x, g_x, theta_h, each for i, f, o, g.
        bias: `[16 * units]`, in the same order.
        recurrent_kernel: `[units, 8 * units]`, blocks phi_h, g_h, each for i, f, o, g.
        recurrent_bias: `[8 * units]`, in the same order.
        w_f, recurrent_w_f: `[4, 2, units]`, the vectors of `pairwise="concatenation"` only.
        gain, displacement, local_kernel, and the same with recurrent_: of options; see `Relation`.

    Args:
        units: channels of H_t and C_t, and of each embedding; C / 2 in the paper.
        pairwise: f of eq. 2: `"embedded_gaussian"`, `"dot_product"` or `"concatenation"`.
        attention_scale: factor on theta(x_i)^T phi(y_j); 1 in the paper.
        attention_norm: normalize theta and phi, with a learned gain (`rlstm_tf.layers.relation` has
            the equations of this and the next two, which the paper does not have).
        local_term: add a depthwise convolution of g to each operation; needs maps.
        displacement_term: add how far the attended positions are; needs maps.
        unit_forget_bias: add 1 to the forget gate's bias of g_x at first; default in Keras's LSTM.
        use_bias: add a bias to each embedding.
        kernel_initializer: initializer of each embedding of X_t.
        recurrent_initializer: the same for H_{t-1}; `kernel_initializer` if None.
        bias_initializer: initializer of the biases.
        kernel_regularizer: regularizer of `kernel`.
        recurrent_regularizer: regularizer of `recurrent_kernel`.
        bias_regularizer: regularizer of the biases.
        kernel_constraint: constraint on `kernel`.
        recurrent_constraint: constraint on `recurrent_kernel`.
        bias_constraint: constraint on the biases.
        **kwargs: further arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: X_t, `[batch, H, W, C]` or `[batch, N, C]`; all sizes but the batch's are static.
        states: `[H_{t-1}, C_{t-1}]`.

    Output shape:
        H_t and the states `[H_t, C_t]`, each `[batch, H, W, units]` or `[batch, N, units]`.

    Raises:
        ValueError: an argument is invalid, or X_t or a state has another shape than it may have.

    In a functional model, Keras 3 takes outputs of `keras.layers.RNN` for vectors, whose shapes
    it then gives; stack `RelationalLSTM` there instead, with `return_sequences`.

    Example:
        >>> cell = RelationalLSTMCell(32)
        >>> X_t = np.random.normal(size=(2, 7, 7, 64)).astype("float32")
        >>> cell.build(X_t.shape)
        >>> H, (H, C) = cell(X_t, cell.get_initial_state(batch_size=2))
        >>> tuple(H.shape)
        (2, 7, 7, 32)
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_units(units)
        self.pairwise = check_pairwise(pairwise, PAIRWISE)
        self.attention_scale = attention_scale
        self.attention_norm = attention_norm
        self.local_term = local_term
        self.displacement_term = displacement_term
        self.unit_forget_bias = unit_forget_bias
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        # Not a second initializer by default: Keras 3 seeds each from Python's random numbers.
        self.recurrent_initializer = (
            keras.initializers.get(recurrent_initializer) or self.kernel_initializer
        )
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.map_shape: tuple[int, ...] = ()

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        """Returns H_t and `[H_t, C_t]`."""
        for state in states:
            check_shape("a state", state.shape, (*self.map_shape, self.units))
        # `RelationalLSTM` relates all of X before its loop, and passes the result: the only rank 5.
        is_related = len(inputs.shape) == 5
        r_x, theta_h = ops.unstack(inputs, axis=1) if is_related else self._relate(inputs)
        H, C, _ = self.step(r_x, theta_h, *map(self._to_positions, states))
        H, C = (ops.reshape(state, (-1, *self.map_shape, self.units)) for state in (H, C))
        return H, [H, C]

    def relate(self, X: Any) -> Any:
        """Computes what eq. 3 needs of X_t alone; with a time axis, of X_1 ... X_T.

        Returns:
            `[batch, (T,) 2, gates, N, units]`: r(X_t, X_t) and theta_h(X_t), each for i, f, o, g.
        """
        terms = ops.stack(self._relate(X), axis=1)
        if len(X.shape) == len(self.map_shape) + 2:
            return terms
        return ops.reshape(terms, (-1, ops.shape(X)[1], *terms.shape[1:]))

    def step(self, r_x: Any, theta_h: Any, H: Any, C: Any) -> tuple[Any, Any, tuple]:
        """Computes eq. 3.

        Args:
            r_x: r(X_t, X_t), `[batch, gates, N, units]`.
            theta_h: theta of r(X_t, H_{t-1}), `[batch, gates, N, units]`.
            H: H_{t-1}, `[batch, N, units]`.
            C: C_{t-1}, `[batch, N, units]`.

        Returns:
            H_t, C_t and the gates (i_t, f_t, o_t, g_t), each `[batch, N, units]`.
        """
        r_h = self.relation_h(theta_h, *self._embed_state(H))
        i, f, o, g = ops.unstack(r_x + r_h, axis=1)
        i, f, o, g = ops.sigmoid(i), ops.sigmoid(f), ops.sigmoid(o), ops.tanh(g)
        C = f * C + i * g
        H = o * ops.tanh(C)
        return H, C, (i, f, o, g)

    def attention_weights(self, X: Any, H: Any) -> tuple[Any, Any]:
        """Computes the weights w_ij (eq. 2) of the eight operations from X_t and H_{t-1}.

        Returns:
            w_ij of r(X_t, X_t) and of r(X_t, H_{t-1}), each `[batch, gates, N, N]`, for i, f, o, g.
        """
        theta_x, phi_x, _, theta_h = self._embed_input(X)
        phi_h, _ = self._embed_state(self._to_positions(H))
        return self.relation_x.weigh(theta_x, phi_x), self.relation_h.weigh(theta_h, phi_h)

    def embedding(self, name: str, gate: str) -> tuple[Any, Any]:
        """Returns the kernel and the bias of one embedding.

        Args:
            name: `"theta_x"`, `"phi_x"`, `"g_x"`, `"theta_h"`, `"phi_h"` or `"g_h"`.
            gate: `"i"`, `"f"`, `"o"` or `"g"`.

        Returns:
            Kernel, `[C, units]` (`[units, units]` for phi_h and g_h), and bias, `[units]` or None.
        """
        names, kernel, bias = INPUT_EMBEDDINGS, self.kernel, self.bias
        if name in STATE_EMBEDDINGS:
            names, kernel, bias = STATE_EMBEDDINGS, self.recurrent_kernel, self.recurrent_bias
        start = (names.index(name) * len(GATES) + GATES.index(gate)) * self.units
        block = slice(start, start + self.units)
        return kernel[:, block], None if bias is None else bias[block]

    def _relate(self, X: Any) -> tuple[Any, Any]:
        """Returns r(X_t, X_t) and theta_h(X_t), `[batch, gates, N, units]` each."""
        theta_x, phi_x, g_x, theta_h = self._embed_input(X)
        return self.relation_x(theta_x, phi_x, g_x), theta_h

    def _embed_input(self, X: Any) -> list[Any]:
        check_shape("X", X.shape, (*self.map_shape, self.kernel.shape[0]))
        x = ops.reshape(X, (-1, prod(self.map_shape), X.shape[-1]))
        theta_x, phi_x, g_x, theta_h = embed(x, self.kernel, self.bias, len(GATES), self.units)
        theta_x, phi_x = self.relation_x.normalize(theta_x, phi_x)
        return [theta_x, phi_x, g_x, self.relation_h.normalize_queries(theta_h)]

    def _embed_state(self, H: Any) -> list[Any]:
        phi_h, g_h = embed(H, self.recurrent_kernel, self.recurrent_bias, len(GATES), self.units)
        return [self.relation_h.normalize_keys(phi_h), g_h]

    def _to_positions(self, state: Any) -> Any:
        return ops.reshape(state, (-1, prod(self.map_shape), self.units))

    def build(self, input_shape: Any) -> None:
        """Adds the weights."""
        input_shape = compat.step_shape(input_shape)
        *map_shape, channels = input_shape[1:]
        if len(map_shape) not in (1, 2) or None in map_shape or channels is None:
            raise ValueError(
                "RelationalLSTMCell takes X_t [batch, H, W, C] or [batch, N, C] with H, W, N and C "
                f"known. Received: {input_shape}"
            )
        self.map_shape = tuple(map_shape)
        gates = (len(GATES),)
        self.kernel, self.bias = self._add_embeddings("kernel", channels)
        self.relation_x = Relation(self, self.map_shape, gates)
        self.recurrent_kernel, self.recurrent_bias = self._add_embeddings("recurrent", self.units)
        self.relation_h = Relation(self, self.map_shape, gates, "recurrent_")
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns the whole shape of X_t, which `build` takes."""
        config = super().get_build_config()
        return config and {"input_shape": (None, *self.map_shape, int(self.kernel.shape[0]))}

    def _add_embeddings(self, kind: str, channels: int) -> tuple[Any, Any]:
        """Adds kernel and bias for X_t (`"kernel"`) or for H_{t-1} (`"recurrent"`)."""
        prefix, names, plus_one = "", INPUT_EMBEDDINGS, None
        if kind == "recurrent":
            prefix, names = "recurrent_", STATE_EMBEDDINGS
        elif self.unit_forget_bias:
            # The w_ij of a Gaussian add up to 1, so r_fx holds this bias as it is.
            plus_one = names.index("g_x") * len(GATES) + GATES.index("f")
        num_blocks = len(names) * len(GATES)

        def add(name: str, shape: tuple[int, ...], kind: str, plus_one: int | None = None) -> Any:
            initializer = getattr(self, f"{kind}_initializer")
            return self.add_weight(
                name=prefix + name,
                shape=shape,
                initializer=BlockwiseInitializer(initializer, num_blocks, plus_one),
                regularizer=getattr(self, f"{kind}_regularizer"),
                constraint=getattr(self, f"{kind}_constraint"),
            )

        kernel = add("kernel", (channels, num_blocks * self.units), kind)
        shape = (num_blocks * self.units,)
        return kernel, add("bias", shape, "bias", plus_one) if self.use_bias else None

    @property
    def output_size(self) -> Any:
        """Size of H_t without the batch axis."""
        return self.state_size[0]

    @property
    def state_size(self) -> list[Any]:
        """Sizes of H_t and C_t without the batch axis; known once the cell is built."""
        return compat.state_size([(*self.map_shape, self.units)] * 2)

    def get_initial_state(
        self, inputs: Any = None, batch_size: Any = None, dtype: Any = None
    ) -> list[Any]:
        """Returns H_0 = C_0 = 0 of a built cell. Keras 3 passes `batch_size` alone."""
        shape = (batch_size, *self.map_shape, self.units)
        return [ops.zeros(shape, dtype=dtype or self.compute_dtype) for _ in range(2)]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("units", "pairwise", "attention_scale", *TERMS, "unit_forget_bias", "use_bias")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        for weight in ("kernel", "recurrent", "bias"):
            for kind in ("initializer", "regularizer", "constraint"):
                name = f"{weight}_{kind}"
                config[name] = getattr(keras, f"{kind}s").serialize(getattr(self, name))
        if self.recurrent_initializer is self.kernel_initializer:
            config["recurrent_initializer"] = None
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RelationalLSTMCell:
        """Creates the cell from `get_config`, of version 0.1.0 too."""
        return cls(**upgrade_config(config))

"""The generalized non-local operation r(X, Y): eq. 2, eq. 4 and fig. 1 of arXiv 1811.07059."""

from __future__ import annotations

from typing import Any

import keras

from rlstm_tf.compat import ops
from rlstm_tf.layers.arguments import check_pairwise, check_shape, check_units
from rlstm_tf.layers.initialization import reseed
from rlstm_tf.layers.relation import TERMS, Relation

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")


@keras.saving.register_keras_serializable("rlstm_tf")
class NonLocalOperation(keras.layers.Layer):
    """Z = r(X, Y): each position of X attends to all positions of Y.

        z_i = sum_j w_ij g(y_j),  w_ij = f(x_i, y_j) / sum_k f(x_i, y_k)      (eq. 2)
        f(x_i, y_j) = exp(theta(x_i)^T phi(y_j))                              (eq. 4)

    theta, phi and g are linear embeddings with a bias (1x1 convolutions). Y = X gives the plain
    non-local operation, eq. 1.

    Args:
        units: C_z, channels of the embeddings and of Z.
        pairwise: f: `"embedded_gaussian"` (the paper's), `"gaussian"` (exp(x^T y), without theta
            and phi; C_x = C_y), `"dot_product"` or `"concatenation"`.
        attention_scale: factor on the argument of f; 1 in the paper.
        kernel_initializer: initializer of theta, phi and g.
        bias_initializer: initializer of their biases.
        kernel_regularizer: regularizer of their kernels.
        attention_norm: normalize theta and phi, with a learned gain (`Relation` has the equations
            of this and the next two, which the paper does not have).
        local_term: add a depthwise convolution of g; needs maps, X and Y of one size.
        displacement_term: add how far the attended positions are; likewise.
        **kwargs: further arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `[X, Y]`, or X alone for Y = X.
        return_attention_scores: also return w_ij.

    Input shape:
        X `[batch, N, C_x]` or `[batch, H, W, C_x]`; Y likewise, with its own positions and
        channels.

    Output shape:
        Z `[batch, N, units]` or `[batch, H, W, units]`, like X; w_ij `[batch, N, M]` for M
        positions of Y.

    Raises:
        ValueError: `units` or `pairwise` is invalid, an input has another rank, C_x != C_y or
            `attention_norm` with `"gaussian"`, or a term does not have the maps that it needs, of
            the size that the layer was built with.

    Example:
        >>> X = np.random.normal(size=(2, 7, 7, 64)).astype("float32")
        >>> Z, w = NonLocalOperation(32)(X, return_attention_scores=True)
        >>> tuple(Z.shape), tuple(w.shape)
        ((2, 7, 7, 32), (2, 49, 49))
    """

    def __init__(
        self,
        units: int,
        pairwise: str = "embedded_gaussian",
        attention_scale: float = 1.0,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        *,
        attention_norm: bool = False,
        local_term: bool = False,
        displacement_term: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_units(units)
        self.pairwise = check_pairwise(pairwise, PAIRWISE)
        self.attention_scale = attention_scale
        self.attention_norm = attention_norm
        self.local_term = local_term
        self.displacement_term = displacement_term
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        """Adds theta, phi, g and, for the concatenation, w_f."""
        x_shape, y_shape = _shapes(input_shape)
        for shape in (x_shape, y_shape):
            if len(shape) not in (3, 4):
                raise ValueError(
                    f"{self.name} takes [batch, N, C] or [batch, H, W, C]. Received: {shape}"
                )
        if (self.local_term or self.displacement_term) and tuple(x_shape[1:-1]) != tuple(
            y_shape[1:-1]
        ):
            raise ValueError(
                "local_term and displacement_term need X and Y of one size. "
                f"Received: {tuple(x_shape)} and {tuple(y_shape)}"
            )
        if self.attention_norm and self.pairwise == "gaussian":
            raise ValueError(
                "attention_norm normalizes theta and phi: pairwise='gaussian' has none"
            )
        self.theta = self.phi = None
        if self.pairwise != "gaussian":
            self.theta = self._add_embedding("theta", x_shape[-1], 0)
            self.phi = self._add_embedding("phi", y_shape[-1], 1)
        elif x_shape[-1] != y_shape[-1]:
            raise ValueError(
                "pairwise='gaussian' needs as many channels in X as in Y. "
                f"Received: {x_shape[-1]} and {y_shape[-1]}"
            )
        self.g = self._add_embedding("g", y_shape[-1], 2)
        self.relation = Relation(self, tuple(x_shape[1:-1]))
        self.built = True

    def _add_embedding(self, name: str, channels: int, number: int) -> tuple[Any, Any]:
        kernel = self.add_weight(
            name=f"{name}_kernel",
            shape=(channels, self.units),
            initializer=reseed(self.kernel_initializer, number),
            regularizer=self.kernel_regularizer,
        )
        bias = self.add_weight(
            name=f"{name}_bias",
            shape=(self.units,),
            initializer=reseed(self.bias_initializer, number),
        )
        return kernel, bias

    def call(self, inputs: Any, return_attention_scores: bool = False) -> Any:
        """Returns Z, or (Z, w_ij)."""
        X, Y = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
        if self.local_term or self.displacement_term:
            for name, maps in (("X", X), ("Y", Y)):
                check_shape(name, maps.shape, (*self.relation.map_shape, maps.shape[-1]))
        x, y = _to_positions(X), _to_positions(Y)
        theta = x if self.theta is None else _embed(x, self.theta)
        phi = y if self.phi is None else _embed(y, self.phi)
        theta, phi = self.relation.normalize(theta, phi)
        g, shape = _embed(y, self.g), (-1, *ops.shape(X)[1:-1], self.units)
        if not return_attention_scores:
            return ops.reshape(self.relation(theta, phi, g), shape)
        w = self.relation.weigh(theta, phi)
        return ops.reshape(self.relation.take(w, g), shape), w

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns the shape of Z."""
        x_shape, _ = _shapes(input_shape)
        return (*tuple(x_shape)[:-1], self.units)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns symbolic outputs of `call` in Keras 3: of w_ij too, if asked for."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "pairwise": self.pairwise,
            "attention_scale": self.attention_scale,
            **{name: getattr(self, name) for name in TERMS},
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _shapes(input_shape: Any) -> tuple[Any, Any]:
    """Returns the shapes of X and Y."""
    is_pair = isinstance(input_shape[0], (list, tuple)) or hasattr(input_shape[0], "as_list")
    return input_shape if is_pair else (input_shape, input_shape)


def _to_positions(X: Any) -> Any:
    """Reshapes `[batch, H, W, C]` to `[batch, N, C]`."""
    if len(X.shape) == 3:
        return X
    _, H, W, channels = ops.shape(X)
    return ops.reshape(X, (-1, H * W, channels))


def _embed(x: Any, embedding: tuple[Any, Any]) -> Any:
    kernel, bias = embedding
    return ops.einsum("bnc,cu->bnu", x, kernel) + bias

"""The operation r(X, Y) on embedded positions: eq. 2 and eq. 4 of arXiv 1811.07059, and options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from math import prod
from typing import Any

import numpy as np

from rlstm_tf.compat import is_float64, matmul, mean, ops
from rlstm_tf.layers.chunks import in_chunks

GAUSSIANS = ("embedded_gaussian", "gaussian")
# Names of the options in a layer's configuration; all off in the paper.
TERMS = ("attention_norm", "local_term", "displacement_term")
_EPSILON = 1e-6
# Side of the local term's window.
_WINDOW = 3
# Most w_ij of an example, all gates together, that are held at once (8 MB); more are computed in
# chunks. Maps of 7 x 7, as in the paper, have 9,604, of 14 x 14 153,664, of 28 x 28 2,458,624.
MOST_WEIGHTS = 2**21
_whole: ContextVar[bool] = ContextVar("whole", default=False)


@contextlib.contextmanager
def without_chunks() -> Iterator[None]:
    """Computes all w_ij at once within the context, however many: without a loop in the graph."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def attention_weights(theta: Any, phi: Any, pairwise: str, scale: float, w_f: Any = None) -> Any:
    """Computes w_ij of eq. 2: how much position i of X takes from position j of Y.

    The Gaussians divide by the sum over j, so w is a softmax (eq. 4). The dot product and the
    concatenation can be zero or negative everywhere; Wang et al. (*Non-local Neural Networks*,
    2018) divide them by M.

    Args:
        theta: queries theta(x_i), `[..., N, units]`.
        phi: keys phi(y_j), `[..., M, units]`.
        pairwise: f of eq. 2, one of `PAIRWISE`.
        scale: factor on the argument of f; 1 in the paper.
        w_f: vector of the concatenation, `[..., 2, units]`: for theta and for phi.

    Returns:
        w_ij, `[..., N, M]`, at least float32: logits over 1,024 dimensions have a standard
        deviation near 40, where bfloat16 has steps of 0.25.
    """
    theta, phi = _precise(theta), _precise(phi)
    if pairwise == "concatenation":
        w_f = ops.cast(w_f, theta.dtype)
        from_theta = ops.einsum("...nu,...u->...n", theta, w_f[..., 0, :])
        from_phi = ops.einsum("...mu,...u->...m", phi, w_f[..., 1, :])
        f = ops.relu(scale * (from_theta[..., :, None] + from_phi[..., None, :]))
    else:
        f = scale * _einsum("nu,mu->nm", theta, phi)
    if pairwise in GAUSSIANS:
        return ops.softmax(f, axis=-1)
    M = phi.shape[-2]
    return f / (ops.cast(ops.shape(phi)[-2], f.dtype) if M is None else M)


def attend(w: Any, g: Any) -> Any:
    """Computes z_i = sum_j w_ij g(y_j) of eq. 2.

    Args:
        w: w_ij, `[..., N, M]`.
        g: values g(y_j), `[..., M, units]`.

    Returns:
        z, `[..., N, units]`, in the data type of `g`.
    """
    return _einsum("nm,mu->nu", ops.cast(w, g.dtype), g)


def _einsum(equation: str, x: Any, y: Any) -> Any:
    """Applies an equation to the last two axes; the others, which are equal, are kept."""
    # By letters: tf2onnx does not know `...`.
    kept = "abcd"[: len(x.shape) - 2]
    inputs, output = equation.split("->")
    return ops.einsum(
        f"{','.join(kept + part for part in inputs.split(','))}->{kept}{output}", x, y
    )


def embed(x: Any, kernel: Any, bias: Any, gates: int, units: int) -> list[Any]:
    """Embeds positions by all blocks of a kernel, in one matrix product.

    Args:
        x: `[batch, N, C]`.
        kernel: `[C, blocks * gates * units]`.
        bias: `[blocks * gates * units]`, or None.
        gates: number of gates.
        units: channels of an embedding.

    Returns:
        `[batch, gates, N, units]` for each block.
    """
    N, channels = x.shape[1:]
    embedded = matmul(ops.reshape(x, (-1, channels)), kernel)
    if bias is not None:
        embedded = embedded + bias
    # Four axes at most: graphics units of phones take no more.
    embedded = ops.reshape(embedded, (-1, N, kernel.shape[1] // units, units))
    return ops.split(ops.transpose(embedded, (0, 2, 1, 3)), kernel.shape[1] // (gates * units), 1)


class Relation:
    """r(X, Y) from theta, phi and g, for one operation or for one of each gate.

        z_i = sum_j w_ij (g(y_j) + D (p_j - p_i)) + sum_d K_d g(y_{i + d})
        w_ij = f(theta_i, phi_j) / sum_k f(theta_i, phi_k)                     (eq. 2)

    The paper has neither of the two terms. Each option adds a weight:

    - `attention_norm`: theta and phi are divided by their root mean square over the channels, then
      theta is multiplied by `gain` (ones at first). Dot products of plain embeddings grow with
      sqrt(units), and their softmax starts as one position, or, scaled down, as a mean (QK
      normalization: Henry et al., arXiv 2010.04245).
    - `displacement_term`: D is `displacement`, p the row and column of a position, each from -1 to
      1. A sum over positions says what there is, and this how far away (cf. Shaw et al., arXiv
      1803.02155). D is small at first, not zero: which way something turns is a product of the
      displacements of two operations, whose gradient is zero where both are.
    - `local_term`: K is `local_kernel`, zero at first, a depthwise convolution of 3 x 3 positions
      with zero padding (cf. CSWin, arXiv 2107.00652).

    Args:
        layer: layer to add the weights to; has `pairwise`, `attention_scale`, `units` and the
            options as attributes.
        map_shape: H and W of X and Y, or N; the terms need a map.
        gates: leading axes of theta, phi, g and z after the batch: `(4,)`, or `()` for one
            operation.
        prefix: start of the weights' names.

    Raises:
        ValueError: a term without a map.
    """

    def __init__(
        self, layer: Any, map_shape: tuple[int, ...], gates: tuple[int, ...] = (), prefix: str = ""
    ) -> None:
        self.pairwise, self.scale, units = layer.pairwise, layer.attention_scale, layer.units
        self.map_shape, self.gates = map_shape, gates
        needs_map = [name for name in TERMS[1:] if getattr(layer, name)]
        if needs_map and (len(map_shape) != 2 or None in map_shape):
            raise ValueError(
                f"{needs_map[0]} needs maps [batch, ..., H, W, C] with H and W known. "
                f"Received: positions {map_shape}"
            )

        def add(name: str, shape: tuple[int, ...], initializer: str) -> Any:
            return layer.add_weight(name=prefix + name, shape=shape, initializer=initializer)

        self.w_f = self.gain = self.local_kernel = self.displacement = None
        if self.pairwise == "concatenation":
            self.w_f = add("w_f", (*gates, 2, units), "glorot_uniform")
        if layer.attention_norm:
            self.gain = add("gain", (*gates, 1, units), "ones")
        if layer.displacement_term:
            self.displacement = add("displacement", (*gates, 2, units), "random_normal")
        if layer.local_term:
            shape = (_WINDOW, _WINDOW, prod(gates) * units, 1)
            self.local_kernel = add("local_kernel", shape, "zeros")

    def normalize(self, theta: Any, phi: Any) -> tuple[Any, Any]:
        """Returns theta and phi as `weigh` takes them; equal to the arguments without a gain."""
        return self.normalize_queries(theta), self.normalize_keys(phi)

    def normalize_queries(self, theta: Any) -> Any:
        """Returns theta as `weigh` takes it."""
        return theta if self.gain is None else _divide_by_rms(theta) * self.gain

    def normalize_keys(self, phi: Any) -> Any:
        """Returns phi as `weigh` takes it."""
        return phi if self.gain is None else _divide_by_rms(phi)

    def weigh(self, theta: Any, phi: Any) -> Any:
        """Computes w_ij, `[batch, (gates,) N, M]`, from normalized theta and phi."""
        return attention_weights(theta, phi, self.pairwise, self.scale, self.w_f)

    def take(self, w: Any, g: Any) -> Any:
        """Computes z, `[batch, (gates,) N, units]`, from w_ij and g."""
        values, places = self._place(g)
        z = attend(w, values)
        if self._needs_sums():
            places = places * ops.cast(ops.sum(w, axis=-1, keepdims=True), g.dtype)
        return self._add_terms(z, places, g)

    def __call__(self, theta: Any, phi: Any, g: Any) -> Any:
        """Computes z, `[batch, (gates,) N, units]`, from normalized theta and phi, and g.

        As `take(weigh(theta, phi), g)`; without holding all w_ij if these are many.
        """
        N, M = theta.shape[-2], phi.shape[-2]
        if None in (N, M) or prod(self.gates) * N * M <= MOST_WEIGHTS or _whole.get():
            return self.take(self.weigh(theta, phi), g)
        values, places = self._place(g)
        if self._needs_sums():
            # z then has one channel more, sum_j w_ij.
            values = ops.concatenate([values, ops.ones_like(values[..., :1])], -1)
        # Float32, for sums over the chunks.
        others = [_precise(phi), _precise(values)]
        if self.w_f is not None:
            # One for each example.
            w_f = ops.zeros_like(phi[..., :1, :]) + ops.cast(self.w_f, phi.dtype)
            others.append(_precise(w_f))

        def attend_chunk(theta: Any, phi: Any, values: Any, w_f: Any = None) -> Any:
            w = attention_weights(theta, phi, self.pairwise, self.scale, w_f)
            return attend(w, ops.cast(values, theta.dtype))

        count = -(-prod(self.gates) * N * M // MOST_WEIGHTS)
        z = in_chunks(attend_chunk, theta, others, values.shape[-1], min(count, N))
        if self._needs_sums():
            z, sums = z[..., :-1], z[..., -1:]
            places = places * sums
        return self._add_terms(z, places, g)

    def _place(self, g: Any) -> tuple[Any, Any]:
        """Returns g(y_j) + D p_j and D p_i; g and None without the displacement."""
        if self.displacement is None:
            return g, None
        places = matmul(ops.cast(_places(self.map_shape), g.dtype), self.displacement)
        return g + places, places

    def _needs_sums(self) -> bool:
        """Returns whether D p_i counts sum_j w_ij times: the Gaussians' w add up to 1."""
        return self.displacement is not None and self.pairwise not in GAUSSIANS

    def _add_terms(self, z: Any, places: Any, g: Any) -> Any:
        """Subtracts the places of the queries, adds the local term; where there are any."""
        z = z if places is None else z - places
        return z if self.local_kernel is None else z + self._convolve(g)

    def _convolve(self, g: Any) -> Any:
        """Applies the local kernel to `[batch, (gates,) N, units]`."""
        N, units = g.shape[-2:]
        gates = prod(self.gates)
        g = ops.reshape(g, (-1, gates, N, units))
        maps = ops.reshape(ops.transpose(g, (0, 2, 1, 3)), (-1, *self.map_shape, gates * units))
        maps = ops.depthwise_conv(
            maps, self.local_kernel, padding="same", data_format="channels_last"
        )
        maps = ops.reshape(maps, (-1, N, gates, units))
        return ops.reshape(ops.transpose(maps, (0, 2, 1, 3)), (-1, *self.gates, N, units))


def _precise(x: Any) -> Any:
    return x if is_float64(x) else ops.cast(x, "float32")


def _divide_by_rms(x: Any) -> Any:
    mean_square = mean(ops.square(_precise(x)), axis=(-1,), keepdims=True)
    return x * ops.cast(ops.rsqrt(mean_square + _EPSILON), x.dtype)


def _places(map_shape: tuple[int, ...]) -> np.ndarray:
    """Returns row and column of each position, from -1 to 1: `[N, 2]`; 0 on a side of one."""
    axes = [np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in map_shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)

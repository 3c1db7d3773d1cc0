"""JAX, by `jax.jit`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax

from benchmarks.backends.backend import AMPERE, Backend, Loss, Start


class Jax(Backend):
    """JAX, which always compiles."""

    def __init__(self, jit: bool) -> None:
        device = jax.devices()[0]
        self.name, self.compiler, self.device = "jax", "XLA", device.device_kind
        self.is_cpu = device.platform == "cpu"
        capability = str(getattr(device, "compute_capability", ""))
        self.has_tf32 = capability[:1].isdigit() and float(capability) >= AMPERE
        self.memory_source = "XLA's plan: arguments, results and temporary arrays"
        self._planned = 0

    def precision(self, tf32: bool) -> contextlib.AbstractContextManager:
        """Returns a context in which float32 products are in TF32, or in float32."""
        return jax.default_matmul_precision("tensorfloat32" if tf32 else "float32")

    def _compile(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        compiled = jax.jit(call, **options).lower(*arguments).compile()
        plan = compiled.memory_analysis()
        if plan is not None:
            sizes = (plan.argument_size_in_bytes, plan.output_size_in_bytes)
            self._planned = sum(sizes) + plan.temp_size_in_bytes - plan.alias_size_in_bytes
        return compiled

    def function(self, call: Callable[..., Any], *tensors: Any) -> Start:
        """Compiles a function of tensors, without gradients."""
        compiled = self._compile(call, *tensors)
        return lambda: compiled(*tensors)

    def forward(self, network: Any, x: Any) -> Start:
        """Compiles the outputs in inference."""
        weights, others = _values(network)

        def call(weights: Any, others: Any, x: Any) -> Any:
            return network.stateless_call(weights, others, x, training=False)[0]

        return self.function(call, weights, others, x)

    def gradients(self, network: Any, x: Any, loss: Loss, of_input: bool) -> Start:
        """Compiles the gradients of a loss."""
        differentiate = self._differentiated(network, loss, of_input)
        start = self.function(differentiate, *_values(network), x)
        return lambda: start()[0]

    def training_step(
        self, network: Any, x: Any, loss: Loss, of_input: bool, optimizer: Any
    ) -> Start:
        """Compiles a step of the optimizer."""
        differentiate = self._differentiated(network, loss, of_input)

        def step(weights: Any, others: Any, slots: Any, x: Any) -> Any:
            gradients, others = differentiate(weights, others, x)
            of_weights = gradients[: len(weights)]
            weights, slots = optimizer.stateless_apply(slots, of_weights, weights)
            # The gradient of x is returned: XLA would drop what nobody takes.
            return (weights, others, slots), gradients[len(weights) :]

        slots = [variable.value for variable in optimizer.variables]
        # Copies, because the step overwrites them, as Keras's `fit` does.
        state = jax.tree.map(lambda array: array.copy(), (*_values(network), slots))
        compiled = self._compile(step, *state, x, donate_argnums=(0, 1, 2))

        def start() -> Any:
            nonlocal state
            state, of_input = compiled(*state, x)
            return state, of_input

        return start

    @staticmethod
    def _differentiated(network: Any, loss: Loss, of_input: bool) -> Callable[..., Any]:
        """Returns a function of weights, other variables and x: gradients, other variables."""

        def value(weights: Any, x: Any, others: Any) -> tuple[Any, Any]:
            outputs, others = network.stateless_call(weights, others, x, training=True)
            return loss(outputs), others

        argnums = (0, 1) if of_input else (0,)
        differentiate = jax.value_and_grad(value, argnums=argnums, has_aux=True)

        def call(weights: Any, others: Any, x: Any) -> tuple[list[Any], Any]:
            (_, others), (of_weights, *of_x) = differentiate(weights, x, others)
            return [*of_weights, *of_x], others

        return call

    def wait(self, results: Any) -> None:
        """Waits until results are computed."""
        jax.block_until_ready(results)

    def reset_memory(self) -> None:
        """Forgets the peak so far."""
        self._planned = 0

    def peak_memory(self) -> int:
        """Returns the bytes at the peak since `reset_memory`."""
        return self._planned


def _values(network: Any) -> tuple[list[Any], list[Any]]:
    """Returns the values of the trainable variables, and of the others."""
    groups = (network.trainable_variables, network.non_trainable_variables)
    weights, others = ([variable.value for variable in group] for group in groups)
    return weights, others


BACKEND = Jax

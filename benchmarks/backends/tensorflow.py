"""TensorFlow, by `tf.function`, with XLA or without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from benchmarks.backends.backend import AMPERE, RESIDENT, Backend, Loss, Start
from benchmarks.machine import peak_resident, reset_peak_resident


class TensorFlow(Backend):
    """TensorFlow, by `tf.function`, with XLA or without."""

    def __init__(self, jit: bool) -> None:
        devices = tf.config.list_physical_devices("GPU")
        self._jit = jit
        self.name, self.compiler = "tensorflow", "XLA" if jit else "tf.function without XLA"
        self.is_cpu = not devices
        details = tf.config.experimental.get_device_details(devices[0]) if devices else {}
        self.device = details.get("device_name", "cpu" if self.is_cpu else "GPU")
        self.has_tf32 = details.get("compute_capability", (0,))[0] >= AMPERE
        memory_info = "tf.config.experimental.get_memory_info"
        self.memory_source = RESIDENT if self.is_cpu else memory_info

    @contextlib.contextmanager
    def precision(self, tf32: bool) -> Iterator[None]:
        """Begins a context in which float32 products are in TF32, or in float32."""
        before = tf.config.experimental.tensor_float_32_execution_enabled()
        try:
            tf.config.experimental.enable_tensor_float_32_execution(tf32)
            yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(before)

    def function(self, call: Callable[..., Any], *tensors: Any) -> Start:
        """Compiles a function of tensors, without gradients."""
        compiled = tf.function(call, jit_compile=self._jit, autograph=False)
        return lambda: compiled(*tensors)

    def forward(self, network: Any, x: Any) -> Start:
        """Compiles the outputs in inference."""
        return self.function(lambda x: network(x, training=False), x)

    def gradients(self, network: Any, x: Any, loss: Loss, of_input: bool) -> Start:
        """Compiles the gradients of a loss."""
        return self.function(self._differentiated(network, loss, of_input), x)

    def training_step(
        self, network: Any, x: Any, loss: Loss, of_input: bool, optimizer: Any
    ) -> Start:
        """Compiles a step of the optimizer."""
        differentiate = self._differentiated(network, loss, of_input)
        variables = network.trainable_variables

        def step(x: Any) -> Any:
            gradients = differentiate(x)
            optimizer.apply(gradients[: len(variables)], variables)
            return gradients[len(variables) :]

        return self.function(step, x)

    @staticmethod
    def _differentiated(network: Any, loss: Loss, of_input: bool) -> Callable[[Any], list[Any]]:
        def call(x: Any) -> list[Any]:
            inputs = [variable.value for variable in network.trainable_variables]
            with tf.GradientTape() as tape:
                if of_input:
                    tape.watch(x)
                    inputs.append(x)
                value = loss(network(x, training=True))
            return tape.gradient(value, inputs)

        return call

    def wait(self, results: Any) -> None:
        """Waits until results are computed."""
        if not self.is_cpu:
            tf.test.experimental.sync_devices()

    def reset_memory(self) -> None:
        """Forgets the peak so far."""
        if self.is_cpu:
            reset_peak_resident()
        else:
            tf.config.experimental.reset_memory_stats("GPU:0")

    def peak_memory(self) -> int:
        """Returns the bytes at the peak since `reset_memory`."""
        if self.is_cpu:
            return peak_resident()
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]


BACKEND = TensorFlow

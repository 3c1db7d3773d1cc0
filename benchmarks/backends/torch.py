"""torch, operation by operation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import torch

from benchmarks.backends.backend import AMPERE, RESIDENT, Backend, Loss, Start
from benchmarks.machine import peak_resident, reset_peak_resident
from rlstm_tf.errors import UsageError


class Torch(Backend):
    """torch, operation by operation."""

    def __init__(self, jit: bool) -> None:
        if jit:
            raise UsageError("--jit: torch runs uncompiled here")
        kind = keras.ops.zeros(1).device.type
        if kind not in ("cuda", "cpu"):
            raise UsageError(f"Keras runs torch on {kind}: only cuda and cpu are measured")
        self.name, self.compiler = "torch", "not compiled"
        self.is_cpu = kind == "cpu"
        self.device = "cpu" if self.is_cpu else torch.cuda.get_device_name()
        nvidia = not self.is_cpu and torch.version.hip is None
        self.has_tf32 = nvidia and torch.cuda.get_device_capability()[0] >= AMPERE
        self.memory_source = RESIDENT if self.is_cpu else "torch.cuda.max_memory_allocated"
        # Shapes are static: let cuDNN choose by trial, as XLA does.
        torch.backends.cudnn.benchmark = True

    @contextlib.contextmanager
    def precision(self, tf32: bool) -> Iterator[None]:
        """Begins a context in which float32 products are in TF32, or in float32."""
        settings = (torch.backends.cuda.matmul, torch.backends.cudnn)
        before = [setting.allow_tf32 for setting in settings]
        try:
            for setting in settings:
                setting.allow_tf32 = tf32
            yield
        finally:
            for setting, value in zip(settings, before):
                setting.allow_tf32 = value

    def function(self, call: Callable[..., Any], *tensors: Any) -> Start:
        """Wraps a function of tensors, without gradients."""

        def start() -> Any:
            with torch.no_grad():
                return call(*tensors)

        return start

    def forward(self, network: Any, x: Any) -> Start:
        """Wraps the outputs in inference."""
        return self.function(lambda x: network(x, training=False), x)

    def gradients(self, network: Any, x: Any, loss: Loss, of_input: bool) -> Start:
        """Wraps the gradients of a loss."""
        inputs = [variable.value for variable in network.trainable_variables]
        if of_input:
            x = x.detach().clone().requires_grad_()
            inputs.append(x)

        def start() -> list[Any]:
            return list(torch.autograd.grad(loss(network(x, training=True)), inputs))

        return start

    def training_step(
        self, network: Any, x: Any, loss: Loss, of_input: bool, optimizer: Any
    ) -> Start:
        """Wraps a step of the optimizer."""
        gradients = self.gradients(network, x, loss, of_input)
        variables = network.trainable_variables

        def start() -> Any:
            found = gradients()
            with torch.no_grad():
                optimizer.apply(found[: len(variables)], variables)
            return found[len(variables) :]

        return start

    def wait(self, results: Any) -> None:
        """Waits until results are computed."""
        if not self.is_cpu:
            torch.cuda.synchronize()

    def reset_memory(self) -> None:
        """Forgets the peak so far."""
        if self.is_cpu:
            reset_peak_resident()
        else:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_memory(self) -> int:
        """Returns the bytes at the peak since `reset_memory`."""
        return peak_resident() if self.is_cpu else torch.cuda.max_memory_allocated()


BACKEND = Torch

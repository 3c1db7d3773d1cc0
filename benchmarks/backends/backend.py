"""Compiled calls of a network, their precision, clock and memory: the interface of a backend."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

# A loss from a network's outputs.
Loss = Callable[[Any], Any]
# Starts a computation and returns its results; an accelerator may still be at work on them.
Start = Callable[[], Any]
# First compute capability of NVIDIA with TF32.
AMPERE = 8
RESIDENT = "peak of the whole process's resident memory"


class Backend(ABC):
    """What Keras leaves to its backend: compilation, gradients, precision, clock and memory.

    Args:
        jit: XLA, where the backend also runs without.

    Attributes:
        name: the package.
        compiler: what compiles.
        device: the device in words.
        is_cpu: there is no accelerator.
        has_tf32: the device multiplies float32 matrices in TF32 too.
        memory_source: what `peak_memory` is.
    """

    name: str
    compiler: str
    device: str
    is_cpu: bool
    has_tf32: bool
    memory_source: str

    def versions(self) -> str:
        """Returns the versions of Keras and of the backend."""
        return ", ".join(f"{name} {version(name)}" for name in ("keras", self.name))

    @abstractmethod
    def precision(self, tf32: bool) -> contextlib.AbstractContextManager:
        """Returns a context in which float32 products are in TF32, or in float32."""

    @abstractmethod
    def function(self, call: Callable[..., Any], *tensors: Any) -> Start:
        """Compiles a function of tensors, without gradients."""

    @abstractmethod
    def forward(self, network: Any, x: Any) -> Start:
        """Compiles the outputs in inference."""

    @abstractmethod
    def gradients(self, network: Any, x: Any, loss: Loss, of_input: bool) -> Start:
        """Compiles a loss in training and its gradients.

        Args:
            network: a `keras.Model`.
            x: its input.
            loss: of its outputs.
            of_input: also the gradient of `x`.

        Returns:
            Function that returns a list: gradients of the trainable weights, then of `x`.
        """

    @abstractmethod
    def training_step(
        self, network: Any, x: Any, loss: Loss, of_input: bool, optimizer: Any
    ) -> Start:
        """Compiles a step that changes weights, statistics and optimizer; arguments as above."""

    @abstractmethod
    def wait(self, results: Any) -> None:
        """Waits until results are computed."""

    @abstractmethod
    def reset_memory(self) -> None:
        """Forgets the peak so far."""

    @abstractmethod
    def peak_memory(self) -> int:
        """Returns the bytes at the peak since `reset_memory`."""

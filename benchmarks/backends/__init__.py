"""What the benchmark of accelerators needs of each of Keras's backends.

Beside this, `rlstm_tf.compat` has what the library needs.
"""

from __future__ import annotations

import os
from importlib import import_module

from benchmarks.backends.backend import Backend
from rlstm_tf.errors import UsageError
from rlstm_tf.quiet import quiet

BACKENDS = ("jax", "torch", "tensorflow")


def load_backend(jit: bool) -> Backend:
    """Imports Keras with the backend that KERAS_BACKEND or Keras's configuration names.

    Raises:
        UsageError: Keras or the backend is missing, too old, or not among those measured.
    """
    with quiet():
        try:
            import keras
        except (ImportError, ValueError) as error:
            raise _missing(error) from None
        if not keras.__version__.startswith("3."):
            raise UsageError(f"needs Keras 3, not {keras.__version__}")
        name = keras.backend.backend()
        if name not in BACKENDS:
            raise UsageError(f"KERAS_BACKEND={name}: one of {', '.join(BACKENDS)}")
        backend: Backend = import_module(f"benchmarks.backends.{name}").BACKEND(jit)
        return backend


def _missing(error: Exception) -> UsageError:
    named = os.environ.get("KERAS_BACKEND", "")
    return UsageError(
        f"Keras does not load with KERAS_BACKEND={named} ({error}): install keras and one of "
        f"{', '.join(BACKENDS)}, and name that"
    )

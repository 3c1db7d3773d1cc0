"""A network that starts from the weights of another: flow from RGB, the R-LSTM from TSN.

Source: arXiv 1811.07059, section 4: the temporal stream starts from the trained spatial one, by
cross-modality initialisation; the standalone R-LSTM from TSN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rlstm_tf.errors import DataError
from rlstm_tf.models.flow_stem import cross_modality
from rlstm_tf.runs import flags
from rlstm_tf.runs.checkpoints import Checkpoints, State, variables_of
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, working_copy

# The two parts of a backbone. Where it is cut may differ between the two networks, so their weights
# are found by the names that they have in the backbone.
_TRUNK, _TAIL = "model/trunk/", "model/tail/"


@dataclass
class Transferred:
    """What became of each weight of the network, by name: in the order of the network.

    Attributes:
        copied: as in the checkpoint.
        adapted: the first kernel, from RGB to flow.
        new: as they were drawn.
    """

    copied: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    def new_layers(self) -> list[str]:
        """Names of the layers, with those they are in, that have a new weight."""
        layers = (name.split("/", 1)[1].rsplit("/", 1)[0] for name in self.new)
        return list(dict.fromkeys(layers))


def transfer_run(directory: str, model: keras.Model, name: str) -> str:
    """Starts a network from the newest checkpoint of a run.

    Args:
        directory: of the run; it may be in a store.
        model: of `build_model`.
        name: its `--model`.

    Returns:
        A line that says what came of it.

    Raises:
        DataError: there is no such run or checkpoint, or as `transfer`.
    """
    with working_copy(directory, ONLY_FOR_TRAINING) as source:
        before = flags.read_run(source.path / "flags.cfg")
        state, _, path = Checkpoints(source.path / "checkpoints").require_newest()
        done = transfer(model, state, path, same_model=before.model == name)
    return (
        f"started from {source.named(path)}: {len(done.copied)} weights copied, "
        f"{len(done.adapted)} adapted from RGB to flow, {len(done.new)} left as drawn "
        f"({', '.join(done.new_layers()) or 'none'})"
    )


def transfer(model: keras.Model, state: State, path: Path, same_model: bool) -> Transferred:
    """Starts a network from a checkpoint's weights.

    Args:
        model: of `build_model`.
        state: of `Checkpoints.load`; an optimizer's state in it is not used.
        path: of the checkpoint, named in errors.
        same_model: the checkpoint is of the same `--model`: every weight of the same name and
            shape is copied. Of another one only the backbone is: the trunk and the pretrained
            tail, not the tail of the non-local branch.

    Returns:
        What was copied, adapted and left.

    Raises:
        DataError: a weight of the backbone is not in the checkpoint, or has another shape: it is
            another backbone, or a network without its tail; nothing is assigned then.
    """
    variables = variables_of(model)
    trunk = [name for name in variables if name.startswith(_TRUNK)]
    first = next(name for name in trunk if len(variables[name].shape) == 4)
    of_backbone = {_in_backbone(name): state[name] for name in state if _in_backbone(name)}
    result = Transferred()
    values: dict[str, np.ndarray] = {}
    for name, variable in variables.items():
        part = _in_backbone(name)
        value = of_backbone.get(part) if part else state.get(name) if same_model else None
        if value is None and part:
            raise _differs(path, name, "missing", variable)
        if value is None:
            result.new.append(name)
        elif value.shape == tuple(variable.shape):
            values[name] = value
            result.copied.append(name)
        elif name == first and _is_flow_of(variable.shape, value.shape):
            values[name] = cross_modality(value, variable.shape[2])
            result.adapted.append(name)
        elif part:
            raise _differs(path, name, value.shape, variable)
        else:
            result.new.append(name)
    for name, value in values.items():
        variables[name].assign(value)
    return result


def _in_backbone(name: str) -> str:
    """Name of a weight inside the whole backbone; empty if it is no weight of it."""
    for prefix in (_TRUNK, _TAIL):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return ""


def _is_flow_of(shape: Any, of_rgb: tuple[int, ...]) -> bool:
    """A kernel has the shape of one for RGB, but for its channels."""
    return of_rgb == (*shape[:2], 3, shape[3])


def _differs(path: Path, name: str, found: Any, variable: Any) -> DataError:
    return DataError(
        f"{path} is of another backbone: {name} is {found}, expected {tuple(variable.shape)}"
    )

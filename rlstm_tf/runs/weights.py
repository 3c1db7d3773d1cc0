"""Trained weights: load a run's network, or initialize another network from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rlstm_tf.errors import DataError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.models.flow_stem import cross_modality
from rlstm_tf.runs.checkpoints import Checkpoints, State, named_variables, restore
from rlstm_tf.runs.directory import read_flags
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, local_mirror

# A backbone is cut into trunk and tail. The cut may differ between the two networks, so weights are
# matched by their names inside the whole backbone.
_TRUNK, _TAIL = "model/trunk/", "model/tail/"


def load_model(
    run_dir: Path, which: str | None, settings: Any, num_classes: int
) -> tuple[keras.Model, Path]:
    """Builds a run's network and loads one of its checkpoints.

    Args:
        run_dir: the run's directory.
        which: `newest` or `best`; None = what the run stands for: the best of one with
            `--patience`, else the newest.
        settings: the run's flags, from `read_flags`. Its `precision` becomes Keras's dtype policy.
        num_classes: number of the run's classes.

    Returns:
        The model, uint8 snippets `[batch, T, S, S, C]` -> float32 logits `[batch, num_classes]`,
        and the path of the checkpoint.

    Raises:
        DataError: the checkpoint is missing, damaged, or from another network.
    """
    state, path = _load_state(run_dir, which, settings)
    keras.mixed_precision.set_global_policy(settings.precision)
    # The checkpoint replaces pretrained weights, so do not download any.
    config = dataclasses.replace(ModelConfig.from_flags(settings), weights="none")
    model = build_model(config, num_classes)
    restore(named_variables(model), state, path)
    return model, path


def _load_state(run_dir: Path, which: str | None, settings: Any) -> tuple[State, Path]:
    checkpoints = Checkpoints(run_dir / "checkpoints")
    # A run whose first epoch has not ended has no best one yet.
    if which == "best" or (which is None and settings.patience and checkpoints.best.exists()):
        return checkpoints.load(checkpoints.best)[0], checkpoints.best
    state, _, path = checkpoints.require_newest()
    return state, path


@dataclass
class WeightReport:
    """Origin of each weight of a network, as names in the network's order.

    Attributes:
        copied: taken from the checkpoint.
        adapted: the first kernel, converted from RGB to flow.
        new: left at their initial values.
    """

    copied: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    def new_layers(self) -> list[str]:
        """Returns the paths of the layers that have a new weight."""
        layers = (name.split("/", 1)[1].rsplit("/", 1)[0] for name in self.new)
        return list(dict.fromkeys(layers))


def initialize_from_run(directory: str, model: keras.Model, name: str) -> tuple[WeightReport, str]:
    """Initializes a network from a run, from the checkpoint that `load_model` takes by default.

    Args:
        directory: the run's directory, local or in a store.
        model: the network, from `build_model`.
        name: its `--model`.

    Returns:
        The origin of each weight, and a one-line summary for the user.

    Raises:
        DataError: the run or checkpoint is missing, or does not fit (see `initialize_from`).
    """
    with local_mirror(directory, ONLY_FOR_TRAINING) as source:
        before = read_flags(source.path / "flags.cfg")
        state, path = _load_state(source.path, None, before)
        done = initialize_from(model, state, path, same_model=before.model == name)
    return done, (
        f"started from {source.display_path(path)}: {len(done.copied)} weights copied, "
        f"{len(done.adapted)} adapted from RGB to flow, {len(done.new)} newly initialized "
        f"({', '.join(done.new_layers()) or 'none'})"
    )


def initialize_from(model: keras.Model, state: State, path: Path, same_model: bool) -> WeightReport:
    """Initializes a network from a checkpoint's weights.

    The temporal stream starts from the trained spatial one by cross-modality initialization, the
    standalone R-LSTM from TSN (arXiv 1811.07059, section 4).

    Args:
        model: the network, from `build_model`.
        state: arrays by name, from `Checkpoints.load`; the optimizer's state is ignored.
        path: the checkpoint, for error messages.
        same_model: the checkpoint has the same `--model`: copy every weight of equal name and
            shape. If False, copy only the backbone: the trunk and the pretrained tail, not the
            tail of the non-local branch.

    Returns:
        The origin of each weight.

    Raises:
        DataError: a backbone weight is missing from the checkpoint or has another shape; no weight
            is assigned then.
    """
    variables = named_variables(model)
    trunk = [name for name in variables if name.startswith(_TRUNK)]
    first = next(name for name in trunk if len(variables[name].shape) == 4)
    backbone = {_in_backbone(name): state[name] for name in state if _in_backbone(name)}
    result = WeightReport()
    values: dict[str, np.ndarray] = {}
    for name, variable in variables.items():
        inner = _in_backbone(name)
        value = backbone.get(inner) if inner else state.get(name) if same_model else None
        shape = tuple(variable.shape)
        if value is not None and value.shape == shape:
            values[name] = value
            result.copied.append(name)
        elif value is not None and name == first and value.shape == (*shape[:2], 3, shape[3]):
            values[name] = cross_modality(value, shape[2])
            result.adapted.append(name)
        elif inner:
            found = "missing" if value is None else value.shape
            raise DataError(f"{path} is from another backbone: {name} is {found}, expected {shape}")
        else:
            result.new.append(name)
    for name, value in values.items():
        variables[name].assign(value)
    return result


def backbone_weights(model: keras.Model) -> list[str]:
    """Returns the names of the weights that a network takes from a pretrained backbone.

    Args:
        model: the network, from `build_model`.
    """
    return [name for name in named_variables(model) if _in_backbone(name)]


def _in_backbone(name: str) -> str:
    """Returns a weight's name inside the whole backbone; empty for other weights."""
    for prefix in (_TRUNK, _TAIL):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return ""

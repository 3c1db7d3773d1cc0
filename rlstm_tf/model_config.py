"""The configuration of a network: each option with its default, help and bounds in one place.

`rlstm_tf.cli.flags` defines the flags from it, `rlstm_tf.models.build_model` builds from it.
Imports neither TensorFlow nor absl.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from rlstm_tf.choices import (
    BACKBONES,
    LSTM_CELLS,
    MAX_FIELDS,
    MAX_SEGMENTS,
    MAX_SIDE,
    MAX_UNITS,
    MODELS,
    PAIRWISE,
    RECURRENT,
    RELATIONAL,
    STATISTICS,
)
from rlstm_tf.errors import DataError, UsageError

# Flow fields of a snippet in the paper (section 4).
FLOW_LENGTH = 10
_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Option:
    """One option of a network.

    Attributes:
        default: value if none is given; None = the network chooses.
        help: line of `--help`.
        choices: the allowed values; empty = not an enumeration.
        minimum: smallest allowed number, included; None = unbounded.
        maximum: largest allowed number, included; None = unbounded.
        models: networks that the option has an effect on.
        flag: has a flag of the same name.
        path: a path, in which the flag expands `~` and `$NAME`.
        type: bool, int, float or str.
    """

    default: Any
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    models: tuple[str, ...] = MODELS
    flag: bool = True
    path: bool = False
    type: type = str

    def check(self, name: str, value: Any) -> None:
        """Raises UsageError if the value has another type, or is out of range."""
        if value is None and self.default is None:
            return
        types = (int, float) if self.type is float else (self.type,)
        # bool is a subclass of int.
        if not isinstance(value, types) or isinstance(value, bool) != (self.type is bool):
            raise UsageError(f"{name}={value!r} must be {self.type.__name__}")
        if self.choices and value not in self.choices:
            raise UsageError(f"{name}={value!r} must be one of {', '.join(self.choices)}")
        if self.type is bool or not isinstance(value, (int, float)):
            return
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        # NaN compares false.
        if not (low <= value <= high and math.isfinite(value)):
            raise UsageError(f"{name}={value} must be a number from {low:g} to {high:g}")


def option(default: Any, help: str, **limits: Any) -> Any:
    """Declares a field of `ModelConfig`; see `Option` for the arguments."""
    return dataclasses.field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class ModelConfig:
    """Options of a network; the defaults are the paper's spatial stream (arXiv 1811.07059, sec. 4).

    >>> ModelConfig(model="rlstm", attention_scale=0.1).num_segments
    8

    Raises:
        UsageError: an option has another type, is out of range, or contradicts another one.
    """

    model: str = option(
        "two_branch", "The paper's network, one of its parts, or a baseline.", choices=MODELS
    )
    backbone: str = option(
        "resnet101v2", "Keras application to cut into trunk and tail.", choices=BACKBONES
    )
    cut: str | None = option(None, "Last layer of the trunk; the backbone's default if unset.")
    weights: str = option(
        "imagenet", "imagenet (docs/backbones.md), none (random), or a path of weights.", path=True
    )
    num_segments: int = option(8, "T, snippets per video.", minimum=1, maximum=MAX_SEGMENTS)
    image_size: int = option(224, "Side of a frame, pixels.", minimum=32, maximum=MAX_SIDE)
    units: int | None = option(
        None,
        "Channels of the recurrent state, from which the transformer's width follows; "
        "half the trunk's if unset.",
        minimum=1,
        maximum=MAX_UNITS,
        models=(*RECURRENT, "transformer"),
    )
    dropout: float = option(0.8, "Dropout before the dense layer.", minimum=0.0, maximum=0.999)
    pairwise: str = option(
        "embedded_gaussian", "Pairwise function f of eq. 2.", choices=PAIRWISE, models=RELATIONAL
    )
    attention_scale: float = option(
        1.0, "Factor on theta^T phi.", minimum=0.0, maximum=1e30, models=RELATIONAL
    )
    attention_norm: bool = option(
        False, "Normalize theta and phi, with a learned gain.", models=RELATIONAL
    )
    local_term: bool = option(
        False, "Add a depthwise 3x3 convolution of g to each relation.", models=RELATIONAL
    )
    displacement_term: bool = option(
        False, "Add how far away the attended positions are.", models=RELATIONAL
    )
    unit_forget_bias: bool = option(
        False, "Begin with a bias of 1 in the forget gate, as Keras's LSTM does.", models=RELATIONAL
    )
    bidirectional: bool = option(
        False,
        "Run half of the units from the last snippet to the first.",
        models=(*RELATIONAL, "convlstm"),
    )
    lstm_cell: str = option(
        "standard",
        "Cell of --model=lstm; all but standard need tensorflow-addons.",
        choices=LSTM_CELLS,
        models=("lstm",),
    )
    batch_norm: str = option(
        "population", "Statistics of batch normalization in training.", choices=STATISTICS
    )
    batch_norm_momentum: float = option(
        0.999, "Momentum of the moving statistics.", minimum=0.0, maximum=1.0
    )
    channels: int = option(
        3,
        "Channels of a snippet: 3 for RGB, 2 for each flow field.",
        minimum=1,
        maximum=2 * MAX_FIELDS,
        flag=False,
    )

    def __post_init__(self) -> None:
        for name, entry in self.options().items():
            entry.check(name, getattr(self, name))
        if self.lstm_cell != "standard" and self.model != "lstm":
            raise UsageError(f"--lstm_cell={self.lstm_cell} goes with --model=lstm")

    @classmethod
    def options(cls) -> dict[str, Option]:
        """All options by name."""
        return {
            entry.name: Option(
                entry.default, type=_TYPES[str(entry.type).split(" ")[0]], **entry.metadata
            )
            for entry in dataclasses.fields(cls)
        }

    @classmethod
    def from_flags(cls, values: Any) -> ModelConfig:
        """Takes the options from parsed flags.

        Args:
            values: has each flag as an attribute, `stream` and `new_length` included.

        Raises:
            UsageError: flags contradict each other.
        """
        given = {name: getattr(values, name) for name, it in cls.options().items() if it.flag}
        length = snippet_length(values.stream, values.new_length)
        return cls(**given, channels=3 if values.stream == "spatial" else 2 * length)

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelConfig:
        """Reads what `to_json` wrote; an option that is missing has its default.

        Raises:
            DataError: the text is not JSON, or holds unknown options or values out of range.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError, UsageError) as error:
            raise DataError(f"not a configuration of a network: {error}") from None

    def to_json(self) -> str:
        """Formats all options as a JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    def state_size(self, channels: int) -> int:
        """Channels of the recurrent state over maps of `channels` channels."""
        return self.units or channels // 2


def snippet_length(stream: str, new_length: int | None) -> int:
    """Stored images of a snippet: one RGB image, or `new_length` flow fields.

    Args:
        stream: `spatial` or `temporal`.
        new_length: as given; None = `FLOW_LENGTH` in the temporal stream.

    Raises:
        UsageError: `new_length` is given for the spatial stream.
    """
    if stream == "temporal":
        return new_length or FLOW_LENGTH
    if new_length is not None:
        raise UsageError(
            f"--new_length={new_length} goes with --stream=temporal: "
            "a snippet of the spatial stream is one image"
        )
    return 1

"""Search space: ranges and choices of the settings that a search varies, from --search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig

Value = Union[int, float]
# Significant digits of the values: they stay short, and equal on machines whose last bits differ.
_DIGITS = 3
# Sampled uniformly in the logarithm.
_LOGARITHMIC = ("learning_rate", "weight_decay", "attention_scale")
# Settings that take single values, no ranges.
_CHOICES = ("batch_norm_momentum", "num_segments", "units")
_RANGES = {
    "learning_rate": "1e-4:1e-1",
    "dropout": "0:0.8",
    "weight_decay": "1e-6:1e-3",
    "batch_norm_momentum": "0.9|0.99|0.999",
    "attention_scale": "0.02:1",
}
NAMES = (*_RANGES, "num_segments", "units")


@dataclass(frozen=True)
class Interval:
    """All values from `low` to `high`.

    Attributes:
        low, high: bounds, both included.
        logarithmic: sampled uniformly in the logarithm.
    """

    low: float
    high: float
    logarithmic: bool

    def rounded(self, value: float) -> float:
        """Returns a value rounded to three digits, within the bounds."""
        short = float(f"{float(value):.{_DIGITS}g}")
        return min(max(short, self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


@dataclass(frozen=True)
class Choices:
    """A finite set of values, in rising order."""

    values: tuple[Value, ...]

    def rounded(self, value: Value) -> Value:
        """Returns the value itself."""
        return value

    def __str__(self) -> str:
        return "|".join(f"{value:g}" for value in self.values)


Space = dict[str, Union[Interval, Choices]]


def search_space(
    texts: Sequence[str],
    base: Mapping[str, Any],
    channels: Callable[[], int],
    frames: int,
    parse: Callable[[str, str], Any],
) -> Space:
    """Parses --search.

    Args:
        texts: `NAME`, `NAME=LOW:HIGH` or `NAME=A|B|C` each. Empty = every setting that the model
            has and that can vary, with its default range.
        base: `model`, `batch_norm` and `num_segments` of the training.
        channels: returns the channels of the trunk's maps; called only if needed.
        frames: number of frames that most videos have.
        parse: converts the name and text of a flag to its value; raises ValueError if invalid.

    Raises:
        UsageError: a name or a range is invalid, or the setting does not apply to the model.
    """
    applicable = applicable_settings(base)
    given = [text.partition("=") for text in texts] or [(name, "", "") for name in applicable]
    space: Space = {}
    for name, equals, text in given:
        if name not in NAMES:
            raise UsageError(f"--search: unknown setting {name!r}, known: {', '.join(NAMES)}")
        if name not in applicable:
            raise UsageError(
                f"--search: {name} has no effect with --model={base['model']} "
                f"--batch_norm={base['batch_norm']}"
            )
        if name in space:
            raise UsageError(f"--search names {name} twice")
        if not equals:
            text = _default_range(name, base["num_segments"], channels, frames)
            if not texts and text.isdigit():  # a single value, as for videos of one frame
                continue
        space[name] = _parse_values(name, text, parse)
    return space


def applicable_settings(base: Mapping[str, Any]) -> list[str]:
    """Returns the settings that affect a model.

    Args:
        base: `model` and `batch_norm` of the training.
    """
    options = ModelConfig.options()
    without = {
        name for name in options.keys() & {*NAMES} if base["model"] not in options[name].models
    }
    if base["batch_norm"] == "frozen":
        without.add("batch_norm_momentum")
    return [name for name in NAMES if name not in without]


def _default_range(name: str, segments: int, channels: Callable[[], int], frames: int) -> str:
    if name == "units":
        # The paper's is half the channels.
        numbers = {max(1, channels() // part) for part in (4, 2, 1)}
        return "|".join(map(str, sorted(numbers)))
    if name == "num_segments":
        # More segments than frames would repeat frames.
        more = max(segments + 1, segments + segments // 2)
        numbers = {max(1, segments // 2), segments, *([more] if more <= frames else [])}
        return "|".join(map(str, sorted(numbers)))
    return _RANGES[name]


def _parse_values(name: str, text: str, parse: Callable[[str, str], Any]) -> Interval | Choices:
    found = f"--search={name}={text}"

    def value(part: str) -> Value:
        try:
            number = parse(name, part)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{found}: {error}") from None
        if not math.isfinite(number):
            raise UsageError(f"{found}: must be finite numbers")
        return number

    parts = text.split(":")
    if len(parts) == 1:
        choices = sorted({value(part) for part in text.split("|")})
        if len(choices) < 2:
            several = "A|B|C" if name in _CHOICES else "LOW:HIGH or A|B|C"
            raise UsageError(
                f"{found} is a single value: give {several}, or --{name}={choices[0]} to fix it"
            )
        return Choices(tuple(choices))
    if name in _CHOICES:
        raise UsageError(f"{found}: {name} takes values, A|B|C")
    if len(parts) != 2:
        raise UsageError(f"{found}: must be LOW:HIGH or A|B|C")
    low, high = map(value, parts)
    logarithmic = name in _LOGARITHMIC
    if not low < high or (logarithmic and low <= 0):
        above = "above 0 and " if logarithmic else ""
        raise UsageError(f"{found}: LOW must be {above}below HIGH")
    return Interval(float(low), float(high), logarithmic)

"""What a search varies: ranges and choices of a training's flags, read from one flag's text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig

Value = Union[int, float]
# Drawn values are rounded to so many digits: short in a table, and a last bit that differs between
# two machines changes nothing.
_DIGITS = 3
# Searched over orders of magnitude.
_LOGARITHMIC = ("learning_rate", "weight_decay", "attention_scale")
# What stands between two of these values is none, or makes no difference.
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
        low, high: both included.
        logarithmic: each order of magnitude is drawn as often as another.
    """

    low: float
    high: float
    logarithmic: bool

    def rounded(self, value: float) -> float:
        """A value of it as it is used and shown."""
        short = float(f"{float(value):.{_DIGITS}g}")
        return min(max(short, self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


@dataclass(frozen=True)
class Choices:
    """One of some values, in rising order."""

    values: tuple[Value, ...]

    def rounded(self, value: Value) -> Value:
        """The value: it is one of these."""
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
    """What to search.

    Args:
        texts: `NAME`, `NAME=LOW:HIGH` or `NAME=A|B|C` each; none = all that apply and can vary,
            in their own ranges.
        base: the training's `model`, `batch_norm` and `num_segments`.
        channels: of the trunk's maps; called where they are needed.
        frames: that most videos have at least.
        parse: a flag's name and a text -> the value; raises ValueError where the flag refuses it.

    Raises:
        UsageError: a name that is none or does not apply, a range that is none.
    """
    given = [text.partition("=") for text in texts] or [(name, "", "") for name in applying(base)]
    space: Space = {}
    for name, equals, text in given:
        if name not in NAMES:
            raise UsageError(f"--search: {name!r} is none of {', '.join(NAMES)}")
        if name not in applying(base):
            raise UsageError(
                f"--search: {name} does nothing with --model={base['model']} "
                f"--batch_norm={base['batch_norm']}"
            )
        if name in space:
            raise UsageError(f"--search names {name} twice")
        if not equals:
            text = _own_range(name, base["num_segments"], channels, frames)
            if not texts and text.isdigit():  # one value: of videos of one frame, say
                continue
        space[name] = _parsed(name, text, parse)
    return space


def applying(base: Mapping[str, Any]) -> list[str]:
    """The names that make a difference to a model.

    Args:
        base: its `model` and `batch_norm`.
    """
    options = ModelConfig.options()
    without = {
        name for name in options.keys() & {*NAMES} if base["model"] not in options[name].models
    }
    if base["batch_norm"] == "frozen":
        without.add("batch_norm_momentum")
    return [name for name in NAMES if name not in without]


def _own_range(name: str, segments: int, channels: Callable[[], int], frames: int) -> str:
    if name == "units":
        # Half, as in the paper, in the middle.
        numbers = {max(1, channels() // part) for part in (4, 2, 1)}
        return "|".join(map(str, sorted(numbers)))
    if name == "num_segments":
        # Half as many, and half as many again; more than a video has frames would repeat some.
        more = max(segments + 1, segments + segments // 2)
        numbers = {max(1, segments // 2), segments, *([more] if more <= frames else [])}
        return "|".join(map(str, sorted(numbers)))
    return _RANGES[name]


def _parsed(name: str, text: str, parse: Callable[[str, str], Any]) -> Interval | Choices:
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
            several = "A|B|C" if name in _CHOICES else "LOW:HIGH, or A|B|C"
            raise UsageError(f"{found} is one value: {several}, or --{name}={choices[0]} alone")
        return Choices(tuple(choices))
    if name in _CHOICES:
        raise UsageError(f"{found}: of {name} one gives values, A|B|C")
    if len(parts) != 2:
        raise UsageError(f"{found}: LOW:HIGH, or A|B|C")
    low, high = map(value, parts)
    logarithmic = name in _LOGARITHMIC
    if not low < high or (logarithmic and low <= 0):
        above = " above 0" if logarithmic else ""
        raise UsageError(f"{found}: LOW:HIGH, LOW{above} and below HIGH")
    return Interval(float(low), float(high), logarithmic)

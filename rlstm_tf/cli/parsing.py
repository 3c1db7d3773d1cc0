"""Parses the texts of flags that absl takes as they are: lists and intervals."""

from __future__ import annotations

from absl import flags

from rlstm_tf.errors import UsageError

# More than any run has, less than int64 holds.
MAX_COUNT = 10**9


def parse_drop_epochs(values: flags.FlagValues) -> tuple[int, ...]:
    """Returns the epochs after which the learning rate drops.

    Raises:
        UsageError: one is not a whole number, or they do not rise.
    """
    epochs = parse_numbers("drop_epochs", values.drop_epochs, int, 1, MAX_COUNT)
    if list(epochs) != sorted(set(epochs)):
        raise UsageError(f"--drop_epochs={','.join(values.drop_epochs)}: must rise")
    return epochs


def parse_freeze(values: flags.FlagValues) -> str:
    """Returns --freeze: `none`, `trunk`, or a number of blocks.

    Raises:
        UsageError: it is none of them.
    """
    text = values.freeze
    number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_COUNT))
    if text not in ("none", "trunk") and not (number and int(text)):
        raise UsageError(f"--freeze={text}: none, trunk, or a number of blocks, 1 or more")
    return text


def parse_save_every(values: flags.FlagValues) -> tuple[int | None, float | None]:
    """Returns the interval between checkpoints in steps and in seconds; at least one is None.

    Raises:
        UsageError: --save_every is neither steps nor minutes.
    """
    text = values.save_every
    if text is None:
        return None, None
    number = text[:-1] if text.endswith("m") else text
    # Check the length first: Python refuses to parse thousands of digits.
    digits = number.isascii() and number.isdigit() and len(number) <= len(str(MAX_COUNT))
    if not digits or not 1 <= int(number) <= MAX_COUNT:
        raise UsageError(
            f"--save_every={text}: a number of steps (500), or of minutes (10m), up to {MAX_COUNT}"
        )
    return (None, 60.0 * int(number)) if text.endswith("m") else (int(number), None)


def parse_profile_steps(values: flags.FlagValues) -> tuple[int, int] | None:
    """Returns the first and the last step to profile, if any.

    Raises:
        UsageError: --profile_steps is not two whole numbers that rise.
    """
    if not values.profile_steps:
        return None
    steps = parse_numbers("profile_steps", values.profile_steps, int, 1, MAX_COUNT)
    if len(steps) != 2 or steps[0] > steps[1]:
        given = ",".join(values.profile_steps)
        raise UsageError(f"--profile_steps={given}: the first and the last step, as in 10,20")
    return steps


def parse_numbers(name: str, texts: list[str], kind: type, low: float, high: float | None) -> tuple:
    """Parses a list flag of numbers, each from `low` to `high` (None = unbounded).

    Raises:
        UsageError: an item is not a number of that kind, or is out of range.
    """
    try:
        found = tuple(kind(text) for text in texts)
    except ValueError:
        found = ()
    # NaN compares false.
    good = [value for value in found if value >= low and (high is None or value <= high)]
    if len(good) != len(texts):
        allowed = f"{low:g} or more" if high is None else f"from {low:g} to {high:g}"
        raise UsageError(f"--{name}={','.join(texts)}: {kind.__name__}s, {allowed}, with commas")
    return found

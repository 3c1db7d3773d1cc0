"""Flags that say at which steps something is done."""

from __future__ import annotations

from absl import flags as absl_flags

from rlstm_tf.cli import flag_values, flags
from rlstm_tf.errors import UsageError


def save_every(values: absl_flags.FlagValues) -> tuple[int | None, float | None]:
    """Steps, and seconds, after which a checkpoint is due: one of them, or neither.

    Raises:
        UsageError: --save_every is neither.
    """
    text = values.save_every
    if text is None:
        return None, None
    number = text[:-1] if text.endswith("m") else text
    # The length first: Python refuses to read thousands of digits.
    digits = number.isascii() and number.isdigit() and len(number) <= len(str(flags.MOST))
    if not digits or not 1 <= int(number) <= flags.MOST:
        raise UsageError(
            f"--save_every={text}: a number of steps (500), or of minutes (10m), up to {flags.MOST}"
        )
    return (None, 60.0 * int(number)) if text.endswith("m") else (int(number), None)


def profile_steps(values: absl_flags.FlagValues) -> tuple[int, int] | None:
    """First and last step to profile, if any are.

    Raises:
        UsageError: --profile_steps is not two whole numbers that rise.
    """
    if not values.profile_steps:
        return None
    steps = flag_values.numbers("profile_steps", values.profile_steps, int, 1, flags.MOST)
    if len(steps) != 2 or steps[0] > steps[1]:
        given = ",".join(values.profile_steps)
        raise UsageError(f"--profile_steps={given}: the first and the last step, as in 10,20")
    return steps

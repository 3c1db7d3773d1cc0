"""What flags were given, of whichever command: checked, as texts, as numbers."""

from __future__ import annotations

from absl import flags

from rlstm_tf.errors import UsageError


def require(values: flags.FlagValues, *names: str) -> None:
    """Raises UsageError where one of these flags was not given."""
    for name in names:
        if values[name].value in (None, "", []):
            raise UsageError(f"--{name} must be given: {values[name].help}")


def check_local(values: flags.FlagValues, *names: str) -> None:
    """Refuses paths of stores (`s3://...`) where they cannot be.

    Raises:
        UsageError: one of these flags names one.
    """
    for name in names:
        value = values[name].value
        for path in value if isinstance(value, list) else [value or ""]:
            if "://" in path:
                raise UsageError(f"--{name}={path}: must be local")


def serialize(values: flags.FlagValues, leave_out: tuple[str, ...]) -> dict[str, str]:
    """Each flag that has a value as the `--name=value` that sets it again."""
    names = sorted(name for name in values if name not in leave_out)
    texts = {name: values[name].serialize() for name in names}
    return {name: text for name, text in texts.items() if text}


def plain(values: flags.FlagValues, name: str) -> bool | float | str | None:
    """A flag's value; a list as its text."""
    value = values[name].value
    return ",".join(value) if isinstance(value, list) else value


def numbers(name: str, texts: list[str], kind: type, low: float, high: float | None) -> tuple:
    """A list of numbers, each from `low` to `high` (None = without end).

    Raises:
        UsageError: one is no number of that kind, or out of range.
    """
    try:
        found = tuple(kind(text) for text in texts)
    except ValueError:
        found = ()
    # Written so that NaN is refused too.
    good = [value for value in found if value >= low and (high is None or value <= high)]
    if len(good) != len(texts):
        allowed = f"{low:g} or more" if high is None else f"from {low:g} to {high:g}"
        raise UsageError(f"--{name}={','.join(texts)}: {kind.__name__}s, {allowed}, with commas")
    return found

"""Flags that select a portion of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from rlstm_tf.cli.parsing import parse_numbers
from rlstm_tf.errors import UsageError


def parse_names(flag: str, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Returns the names that a flag gives, each once, in the order of `known`; all if none.

    Raises:
        UsageError: a name is unknown.
    """
    for name in given:
        if name not in known:
            raise UsageError(f"--{flag}={name}: unknown, known: {', '.join(known)}")
    return tuple(name for name in known if name in given or not given)


def parse_seeds(texts: list[str]) -> tuple[int, ...]:
    """Returns the seeds of --seeds, each once.

    Raises:
        UsageError: one is not a seed, or there is none.
    """
    if not texts:
        raise UsageError("--seeds is empty: give at least one")
    return tuple(dict.fromkeys(parse_numbers("seeds", texts, int, 0, 2**32 - 1)))

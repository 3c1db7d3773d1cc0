"""Flags of a run that is there already: which one, and what it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from rlstm_tf.cli.flags import parse_flagfiles
from rlstm_tf.errors import DataError


def define_run(values: flags.FlagValues) -> None:
    """A trained run, and which of its checkpoints."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("run_dir", None, "Directory of the run.", **own)
    flags.DEFINE_enum("checkpoint", "newest", ("newest", "best"), "Which one.", **own)


def read_run(path: Path) -> flags.FlagValues:
    """The flags that a run was started with.

    Args:
        path: of its `flags.cfg`.

    Raises:
        DataError: it is not there, or is no such file.
    """
    if not path.is_file():
        raise DataError(f"{path.parent} holds no run: there is no {path.name}")
    try:
        values = parse_flagfiles(str(path))
    except (flags.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged, or of another version: {error}") from error
    # Every run was given both; one is early in the file, one late.
    for name in ("data", "run_dir"):
        if not values[name].value:
            raise DataError(f"{path} is damaged: it does not say --{name}")
    return values

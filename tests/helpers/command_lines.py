"""Parses flags of a training; runs commands one after the other in one process.

python tests/helpers/command_lines.py '[["rlstm_tf.train", "--data=records", ...], ...]'
"""

from __future__ import annotations

import importlib
import json
import sys

from absl import flags as absl_flags

from rlstm_tf.cli import app, flags


def parse(*arguments):
    """Parses flags of a training."""
    values = absl_flags.FlagValues()
    flags.define_training(values)
    values(["train", *arguments])
    return values


def execute(lines):
    """Runs what `python -m` would run; raises AssertionError if one does not end with status 0."""
    for name, *arguments in lines:
        module = importlib.import_module(name)
        status = app.run(module.main, module.define_flags, [name, *arguments])
        assert status == 0, f"{name} ended with status {status}"


if __name__ == "__main__":
    execute(json.loads(sys.argv[1]))

"""Command lines of entry points, one after the other in one process, which loads TensorFlow once.

python tests/helpers/command_lines.py '[["rlstm_tf.train", "--data=records", ...], ...]'
"""

from __future__ import annotations

import importlib
import json
import sys

from rlstm_tf.cli import app


def execute(lines):
    """Runs what `python -m` would run. Each must end with status 0: else the status is 1."""
    for name, *arguments in lines:
        module = importlib.import_module(name)
        status = app.run(module.main, module.define_flags, [name, *arguments])
        assert status == 0, f"{name} ended with status {status}"


if __name__ == "__main__":
    execute(json.loads(sys.argv[1]))

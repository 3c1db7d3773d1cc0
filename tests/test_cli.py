"""Every entry point: quick help, one-line errors, statuses."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlstm_tf import cli
from rlstm_tf.errors import DataError, UsageError

ROOT = Path(__file__).parent.parent
ENTRY_POINTS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("rlstm_tf", "tfrecords_tools", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def run(main, *arguments, **kwargs):
    return cli.run(main, lambda values: None, ["program", *arguments], **kwargs)


def test_there_are_entry_points():
    assert {"rlstm_tf.train", "rlstm_tf.evaluate", "tfrecords_tools.build"} <= set(ENTRY_POINTS)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_comes_before_anything_heavy_is_loaded(name):
    """What makes it answer in under a second; the clock itself is not asserted."""
    heavy = ("tensorflow", "keras", "cv2", "av", "sklearn", "scipy")
    script = (
        f"import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({name!r}, run_name='__main__')\n"
        f"except SystemExit as end: status = end.code\n"
        f"print(status, [m for m in {heavy} if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert output.splitlines()[-1] == "0 []"
    assert f"python -m {name}" in output


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_unknown_flags_are_refused(name, capsys):
    module = importlib.import_module(name)
    assert cli.run(module.main, module.define_flags, [name, "--no_such_flag=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no_such_flag" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("error", "status"), [(UsageError, 2), (DataError, 1)])
def test_user_errors_are_one_line(error, status, capsys):
    def main(values):
        raise error("first\nsecond")

    assert run(main) == status
    assert capsys.readouterr().err == "error: first second\n"


def test_bugs_give_tracebacks():
    def main(values):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(main)


def test_interrupted(capsys):
    def main(values):
        raise KeyboardInterrupt

    assert run(main) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_arguments_without_a_flag(capsys):
    assert run(lambda values: None, "stray") == 2
    assert "'stray'" in capsys.readouterr().err


def test_status_of_main():
    assert run(lambda values: None) == 0
    assert run(lambda values: 1) == 1

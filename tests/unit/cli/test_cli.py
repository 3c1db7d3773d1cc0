"""Every entry point: quick help, one-line errors, statuses."""

import importlib
import os
import subprocess
import sys

import pytest
from absl import flags
from repository import ROOT

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError, UsageError

ENTRY_POINTS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("rlstm_tf", "tfrecords_tools", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def run(main, *arguments, **kwargs):
    return app.run(main, lambda values: None, ["program", *arguments], **kwargs)


def test_there_are_entry_points():
    assert {"rlstm_tf.train", "rlstm_tf.evaluate", "tfrecords_tools.build"} <= set(ENTRY_POINTS)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_comes_before_anything_heavy_is_loaded(name):
    """What makes it answer in under a second; the clock itself is not asserted."""
    heavy = ("tensorflow", "keras", "numpy", "cv2", "av", "sklearn", "scipy", "apache_beam")
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
    assert app.run(module.main, module.define_flags, [name, "--no_such_flag=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no_such_flag" in error
    assert error.count("\n") == 1


def start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, shell=""):
    """A process of a Python; `shell` redirects what cannot be said otherwise."""
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_that_cannot_be_written(name):
    result = start(sys.executable, "-m", name, "--help", shell="> /dev/full")
    error = "error: cannot write to standard output: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, error)
    # Standard error on the same disk: the status alone is left to say it.
    assert start(sys.executable, "-m", name, "--help", shell="> /dev/full 2>&1").returncode == 1


PRINTS = """
import sys
from rlstm_tf.cli import app as cli
def main(values):
    print(CONTENT, flush=FLUSH)
    with open("/nowhere/file") if FAILS else open("/dev/null"):
        pass
cli.leave(cli.run(main, lambda values: None, ["program"]))
"""


def prints(content="1", flush=False, fails=False, **redirected):
    """A program that prints, and may fail for another reason then."""
    head = f"CONTENT, FLUSH, FAILS = {content}, {flush}, {fails}"
    return start(sys.executable, "-c", head + PRINTS, **redirected)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("content", ["1", "'x' * 100_000"])
@pytest.mark.parametrize("flush", [False, True])
def test_what_is_printed_on_a_full_disk(content, flush):
    result = prints(content, flush, shell="> /dev/full")
    error = "error: cannot write to standard output: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, error)


@pytest.mark.parametrize("flush", [False, True])
def test_what_nobody_reads(flush):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        result = prints(flush=flush, stdout=pipe)
    error = "error: cannot write to standard output: Broken pipe\n"
    assert (result.returncode, result.stderr) == (1, error)


def test_another_error_is_not_taken_for_one_of_the_output():
    result = prints(fails=True)
    assert (result.returncode, result.stdout) == (1, "1\n")
    assert result.stderr.splitlines()[0].startswith("Traceback")
    assert "/nowhere/file" in result.stderr.splitlines()[-1]


def test_closed_outputs():
    result = prints(shell=">&-")
    error = "error: cannot write to standard output: it is closed\n"
    assert (result.returncode, result.stderr) == (1, error)
    assert prints(shell=">&- 2>&-").returncode == 1
    result = prints(shell="2>&-")
    assert (result.returncode, result.stdout) == (0, "1\n")
    script = (
        "import sys\n"
        "from rlstm_tf.cli import app as cli\n"
        "def main(values):\n"
        "    with cli.quiet():\n"
        "        print('theirs', file=sys.stderr)\n"
        "    print('ours', file=sys.stderr)\n"
        "    print('answer')\n"
        "cli.leave(cli.run(main, lambda values: None, ['program']))"
    )
    for shell in ("2>&-", "0<&- 2>&-"):
        result = start(sys.executable, "-c", script, shell=shell)
        assert (result.returncode, result.stdout) == (0, "answer\n")


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


def run_with(*arguments, **takes):
    """The values of a flag and of the multi-string flag `others`, and the exit status.

    `takes` is `rest` or `positional` of `cli.run`, which says what sets the latter.
    """
    seen = []

    def define(values):
        flags.DEFINE_integer("number", 0, "A flag of ours.", flag_values=values)
        flags.DEFINE_multi_string("others", [], "All others.", flag_values=values)

    def main(values):
        seen.append((values.number, values.others))

    status = app.run(main, define, ["program", *arguments], **takes)
    return (*seen, status)


def test_what_stands_behind_two_dashes():
    assert run_with("--number=1", "--", "--number=2", "--other=x", rest="others") == (
        (1, ["--number=2", "--other=x"]),
        0,
    )
    assert run_with("--number=1", rest="others") == ((1, []), 0)
    assert run_with("--number=1", "--", rest="others") == ((1, []), 0)
    assert run_with("--others=--a", "--", "--b", rest="others") == ((0, ["--a", "--b"]), 0)
    assert run_with("stray", "--", "--b", rest="others") == (2,)


def test_any_number_of_arguments_without_a_flag():
    assert run_with(positional="others") == ((0, []), 0)
    assert run_with("a", "--number=1", "b", "a", positional="others") == ((1, ["a", "b", "a"]), 0)
    assert run_with("--others=a", "b", positional="others") == ((0, ["a", "b"]), 0)
    assert run_with("a", "--", "--number=1", "-", positional="others") == (
        (0, ["a", "--number=1", "-"]),
        0,
    )


def test_one_argument_for_a_flag_of_one_value(capsys):
    def define(values):
        flags.DEFINE_string("data", "", "A directory.", flag_values=values)

    seen = []
    for arguments in (["a"], ["a", "b"]):
        line = ["program", *arguments]
        status = app.run(lambda values: seen.append(values.data), define, line, "data")
        assert status == (0 if arguments == ["a"] else 2)
    assert seen == ["a"]
    assert "unexpected argument 'b'" in capsys.readouterr().err


def test_status_of_main():
    assert run(lambda values: None) == 0
    assert run(lambda values: 1) == 1


def load_in_a_process(*path):
    script = (
        "import sys\n"
        "from rlstm_tf.cli import app as cli\n"
        "cli.load_tensorflow()\n"
        "print('ours', file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)])},
        capture_output=True,
        text=True,
    )


def test_start_up_lines_do_not_drown_ours():
    assert load_in_a_process().stderr == "ours\n"


def test_start_up_lines_are_shown_when_loading_fails(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'from C++'); raise ImportError('no such symbol')"
    )
    result = load_in_a_process(tmp_path)
    assert result.returncode == 1
    assert "from C++" in result.stderr
    assert "no such symbol" in result.stderr


def test_start_up_lines_are_not_shown_to_whom_interrupts_them(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'from C++'); raise KeyboardInterrupt"
    )
    script = (
        "import sys\n"
        "from rlstm_tf.cli import app as cli\n"
        "cli.leave(cli.run(lambda values: cli.load_tensorflow(), lambda values: None, ['program']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (130, "error: interrupted\n")


def test_no_room_for_temporary_files():
    """As where all disks are full."""
    script = (
        "import resource, sys\n"
        "from rlstm_tf.cli import app as cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "cli.leave(cli.run(lambda values: cli.load_tensorflow(), lambda values: None, ['program']))"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot write temporary files: No usable temporary dir")
    assert result.stderr.count("\n") == 1

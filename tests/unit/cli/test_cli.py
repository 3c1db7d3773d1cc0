"""Every command: quick help, one-line errors, exit statuses."""

import importlib
import os
import subprocess
import sys

import pytest
from absl import flags
from repository import ROOT

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError, UsageError

COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("rlstm_tf", "tfrecords_tools", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def run(main, *arguments, **kwargs):
    return app.run(main, lambda values: None, ["program", *arguments], **kwargs)


def test_commands_are_found():
    assert {"rlstm_tf.train", "rlstm_tf.evaluate", "tfrecords_tools.build"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_heavy(name):
    """So that it answers in under a second; a test of the time itself would be flaky."""
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


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_flags_are_refused(name, capsys):
    module = importlib.import_module(name)
    assert app.run(module.main, module.define_flags, [name, "--no_such_flag=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no_such_flag" in error
    assert error.count("\n") == 1


def start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, shell=""):
    """Runs a command; `shell` adds redirections."""
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["rlstm_tf.train", "tfrecords_tools.build"])
def test_help_that_cannot_be_written(name):
    result = start(sys.executable, "-m", name, "--help", shell="> /dev/full")
    error = "error: cannot write to standard output: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, error)
    # With standard error on the same disk, the status alone tells.
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
    """Runs a program that prints, and then may fail for another reason."""
    head = f"CONTENT, FLUSH, FAILS = {content}, {flush}, {fails}"
    return start(sys.executable, "-c", head + PRINTS, **redirected)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("content", ["1", "'x' * 100_000"])
@pytest.mark.parametrize("flush", [False, True])
def test_output_to_a_full_disk(content, flush):
    result = prints(content, flush, shell="> /dev/full")
    error = "error: cannot write to standard output: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, error)


@pytest.mark.parametrize("flush", [False, True])
def test_output_to_a_closed_pipe(flush):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        result = prints(flush=flush, stdout=pipe)
    error = "error: cannot write to standard output: Broken pipe\n"
    assert (result.returncode, result.stderr) == (1, error)


def test_other_errors_are_not_reported_as_errors_of_the_output():
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


def test_bugs_show_tracebacks():
    def main(values):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(main)


def test_interrupted(capsys):
    def main(values):
        raise KeyboardInterrupt

    assert run(main) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_stray_arguments_are_refused(capsys):
    assert run(lambda values: None, "stray") == 2
    assert "'stray'" in capsys.readouterr().err


def run_with(*arguments, **takes):
    """Returns the values of two flags, and the exit status.

    `takes` is `rest="others"` or `positional="others"` of `app.run`.
    """
    seen = []

    def define(values):
        flags.DEFINE_integer("number", 0, "A flag.", flag_values=values)
        flags.DEFINE_multi_string("others", [], "All others.", flag_values=values)

    def main(values):
        seen.append((values.number, values.others))

    status = app.run(main, define, ["program", *arguments], **takes)
    return (*seen, status)


def test_arguments_after_two_dashes():
    assert run_with("--number=1", "--", "--number=2", "--other=x", rest="others") == (
        (1, ["--number=2", "--other=x"]),
        0,
    )
    assert run_with("--number=1", rest="others") == ((1, []), 0)
    assert run_with("--number=1", "--", rest="others") == ((1, []), 0)
    assert run_with("--others=--a", "--", "--b", rest="others") == ((0, ["--a", "--b"]), 0)
    assert run_with("stray", "--", "--b", rest="others") == (2,)


def test_positional_arguments_of_a_multi_string_flag():
    assert run_with(positional="others") == ((0, []), 0)
    assert run_with("a", "--number=1", "b", "a", positional="others") == ((1, ["a", "b", "a"]), 0)
    assert run_with("--others=a", "b", positional="others") == ((0, ["a", "b"]), 0)
    assert run_with("a", "--", "--number=1", "-", positional="others") == (
        (0, ["a", "--number=1", "-"]),
        0,
    )


def test_positional_argument_of_a_string_flag(capsys):
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


def test_start_up_lines_are_hidden():
    assert load_in_a_process().stderr == "ours\n"


def test_start_up_lines_are_shown_when_loading_fails(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'from C++'); raise ImportError('no such symbol')"
    )
    result = load_in_a_process(tmp_path)
    assert result.returncode == 1
    assert "from C++" in result.stderr
    assert "no such symbol" in result.stderr


def test_start_up_lines_are_hidden_when_interrupted(tmp_path):
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
    """Simulates full disks."""
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

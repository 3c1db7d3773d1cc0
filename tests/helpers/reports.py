"""Runs rlstm_tf.report in the process of the test."""

from rlstm_tf import report
from rlstm_tf.cli import app


def run(*arguments):
    return app.run(report.main, report.define_flags, ["report", *map(str, arguments)])


def refused(status, message, capsys, *arguments):
    assert run(*arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def contents(directory):
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}

"""Runs a command's `main`: parses its flags, reports errors in one line, returns an exit status.

Each command defines its flags in a `FlagValues` of its own, not in absl's global one: a test can
run several commands in one process, and importing a command defines nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, cast

from absl import flags

from rlstm_tf.cli.flag_files import FlagValues
from rlstm_tf.errors import OutputError, UsageError, UserError
from rlstm_tf.messages import say
from rlstm_tf.quiet import quiet

USAGE = 2
INTERRUPTED = 130


def run(
    main: Callable[[flags.FlagValues], int | None],
    define_flags: Callable[[flags.FlagValues], None],
    argv: Sequence[str] | None = None,
    positional: str | None = None,
    rest: str | None = None,
) -> int:
    """Parses the command line, calls `main`, and turns user errors into one line and a status.

    Args:
        main: takes the parsed flags, returns an exit status or None for 0. Its module's docstring
            begins the output of `--help`.
        define_flags: defines the command's flags in the given `FlagValues`.
        argv: program name and arguments; None = `sys.argv`.
        positional: name of the flag that takes arguments without `--`: one such argument, or all
            of them if it is a multi-string flag.
        rest: name of the multi-string flag that takes the arguments after a lone `--`.

    Returns:
        Exit status: 0, 1 (bad data, or standard output cannot be written), 2 (bad usage) or 130
        (interrupted).
    """
    if sys.stderr is None:
        _reopen_standard_error()
    if sys.stdout is None:
        return _report("cannot write to standard output: it is closed", OutputError.status)
    with contextlib.redirect_stdout(cast(Any, _StandardOutput(sys.stdout))) as output:
        status = _run(main, define_flags, argv, positional, rest)
        try:
            # Python flushes at exit too, but fails with a traceback.
            output.flush()
        except OutputError as error:
            return status or _report(error, error.status)
    return status


def _run(
    main: Callable[[flags.FlagValues], int | None],
    define_flags: Callable[[flags.FlagValues], None],
    argv: Sequence[str] | None,
    positional: str | None,
    rest: str | None,
) -> int:
    argv = list(sys.argv if argv is None else argv)
    after_dashes: list[str] = []
    if rest and "--" in argv:
        dashes = argv.index("--")
        argv, after_dashes = argv[:dashes], argv[dashes + 1 :]
    values = FlagValues()
    flags.DEFINE_string(
        "flagfile",
        "",
        "Read flags from this file; may be given several times. configs/NAME.cfg, where there is no"
        " such file, is the one that is installed with the package.",
        flag_values=values,
    )
    define_flags(values)
    # Accept flags after positional arguments.
    values.set_gnu_getopt(True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Halves a step on CPUs without AVX-512, where TensorFlow leaves it off (docs/speed.md).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        if {"--help", "-h", "-help"} & set(argv[1:]):
            about = (main.__globals__["__doc__"] or "").strip()
            say(*about.splitlines(), *_format_help(values).splitlines())
            return 0
        arguments = values(argv)[1:]
        if arguments and positional:
            several = isinstance(values[positional], flags.MultiFlag)
            values[positional].parse(arguments if several else arguments[0])
            arguments = [] if several else arguments[1:]
        if arguments:
            raise flags.Error(f"unexpected argument {arguments[0]!r}; every option starts with --")
        if rest and after_dashes:
            values[rest].parse(after_dashes)
        return main(values) or 0
    except flags.Error as error:
        return _report(error, USAGE)
    except UserError as error:
        return _report(error, error.status)
    except KeyboardInterrupt:
        return _report("interrupted", INTERRUPTED)


def leave(status: int) -> NoReturn:
    """Ends the process with the status of `run`; the last thing that a command does.

    tensorflow-io, once used, ends the process with another status when Python unloads it: skip
    that.
    """
    if "tensorflow_io" in sys.modules:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


class _StandardOutput:
    """Standard output that raises OutputError, to tell its errors from any other OSError."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._errors():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._errors():
            self._stream.flush()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Python would write the rest of the buffer at exit and fail again, with a traceback.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def _reopen_standard_error() -> None:
    """Reopens a closed stderr as /dev/null, so that fd 2 cannot hit another file."""
    null = os.open(os.devnull, os.O_WRONLY)
    if null != 2:
        os.dup2(null, 2)
        os.close(null)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def load_tensorflow() -> None:
    """Imports TensorFlow and lists its devices, without the lines that it prints meanwhile.

    Its C++ code prints them before it reads any log level.

    Raises:
        DataError: no directory for temporary files has room for one.
    """
    with quiet():
        import tensorflow

        tensorflow.config.list_physical_devices()


@contextlib.contextmanager
def importing_extra(extra: str, *modules: str) -> Iterator[None]:
    """Reports modules that are missing because an extra of this package is not installed.

    Args:
        extra: name of the extra.
        modules: names under which the modules of the extra are imported.

    Raises:
        UsageError: one of `modules` is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        raise UsageError(
            f"{error.name} is missing; the extra {extra} brings it: pip install 'rlstm-tf[{extra}]'"
        ) from None


def _format_help(values: flags.FlagValues) -> str:
    lines = ["", "flags:"]
    for name in sorted(values):
        flag = values[name]
        default = "" if flag.default is None else f"={flag.default_as_str}".replace("'", "")
        lines.append(f"  --{name}{default}")
        lines.append(flags.text_wrap(str(flag.help), indent="      "))
    return "\n".join(lines)


def _report(error: object, status: int) -> int:
    # If standard error is on a full disk too, the status alone tells.
    with contextlib.suppress(OSError):
        say("error: " + " ".join(str(error).split()), error=True)
    return status

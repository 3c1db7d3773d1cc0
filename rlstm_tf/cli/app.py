"""What every entry point does around its `main`: flags in, exit status out.

Flags live in a `FlagValues` of the entry point's own, not in absl's global one, so that a test can
run several entry points in one process, and so that importing an entry point defines nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, cast

from absl import flags

from rlstm_tf.errors import DataError, OutputError, UserError

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
        main: takes the parsed flags; its module's docstring is the head of `--help`. Returns an
            exit status, or None for 0.
        define_flags: defines the entry point's flags in the `FlagValues` it is given.
        argv: program name and arguments; `sys.argv` if None.
        positional: the flag that an argument without `--` sets, if one does. A multi-string flag
            takes all such arguments, any other takes one.
        rest: the multi-string flag that takes what stands behind a `--` by itself, if one does.

    Returns:
        Exit status: 0, 1 (bad data, or nowhere to print), 2 (bad usage) or 130 (interrupted).
    """
    if sys.stderr is None:
        _open_standard_error()
    if sys.stdout is None:
        return _report("cannot write to standard output: it is closed", OutputError.status)
    with contextlib.redirect_stdout(cast(Any, _Output(sys.stdout))) as output:
        status = _run(main, define_flags, argv, positional, rest)
        try:
            # When it exits, Python would do so, and show a traceback where it fails.
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
    behind: list[str] = []
    if rest and "--" in argv:
        cut = argv.index("--")
        argv, behind = argv[:cut], argv[cut + 1 :]
    values = flags.FlagValues()
    flags.DEFINE_string(
        "flagfile", "", "Read flags from this file; may be given several times.", flag_values=values
    )
    define_flags(values)
    # Flags may stand behind the positional argument too.
    values.set_gnu_getopt(True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        if {"--help", "-h", "-help"} & set(argv[1:]):
            print((main.__globals__["__doc__"] or "").strip())
            print(_describe(values))
            return 0
        arguments = _parsed(values, argv)
        if arguments and positional:
            several = isinstance(values[positional], flags.MultiFlag)
            taken = arguments if several else arguments[0]
            values[positional].parse(taken)
            arguments = [] if several else arguments[1:]
        if arguments:
            raise flags.Error(f"unexpected argument {arguments[0]!r}; every option starts with --")
        if rest and behind:
            values[rest].parse(behind)
        return main(values) or 0
    except flags.Error as error:
        return _report(error, USAGE)
    except UserError as error:
        return _report(error, error.status)
    except KeyboardInterrupt:
        return _report("interrupted", INTERRUPTED)


def leave(status: int) -> NoReturn:
    """Ends the process: the last thing that an entry point does.

    Args:
        status: of `run`. Once tensorflow-io has opened something, its library ends the process with
            another one as it is unloaded: so it is not.
    """
    if "tensorflow_io" in sys.modules:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


class _Output:
    """Standard output; what goes wrong with it is told from whatever else goes wrong."""

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
            # What it still holds would be written at exit, and fail again, with a traceback.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def _open_standard_error() -> None:
    """Where it was closed, nobody reads it; what is written to its number is to harm no file."""
    null = os.open(os.devnull, os.O_WRONLY)
    if null != 2:
        os.dup2(null, 2)
        os.close(null)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _parsed(values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Sets the flags and returns what else stands there; raises absl.flags.Error."""
    try:
        rest = values(argv)[1:]
    except UnicodeDecodeError as error:
        raise flags.Error(f"--flagfile: no text: {error}") from None
    for name in values:
        value = values[name].value
        # absl's bounds let NaN through.
        if isinstance(value, float) and not math.isfinite(value):
            raise flags.Error(f"--{name}={value}: must be a finite number")
    return rest


def load_tensorflow() -> None:
    """Imports TensorFlow and lets it look for devices, without the lines that it prints meanwhile.

    They come from C++ before any log level is heeded.

    Raises:
        DataError: there is no directory for temporary files that has room for one; TensorFlow could
            not be imported.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise DataError(f"cannot write temporary files: {error.strerror}") from None
    with quiet():
        import tensorflow

        tensorflow.config.list_physical_devices()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what others print on standard error, in which ours would drown.

    If anything goes wrong that we have no words for, it is shown; Ctrl-C is nothing wrong.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _describe(values: flags.FlagValues) -> str:
    lines = ["", "flags:"]
    for name in sorted(values):
        flag = values[name]
        default = "" if flag.default is None else f"={flag.default_as_str}".replace("'", "")
        lines.append(f"  --{name}{default}")
        lines.append(flags.text_wrap(str(flag.help), indent="      "))
    return "\n".join(lines)


def _report(error: object, status: int) -> int:
    # On a full disk too, as is standard output then; the status says it.
    with contextlib.suppress(OSError):
        print("error: " + " ".join(str(error).split()), file=sys.stderr, flush=True)
    return status

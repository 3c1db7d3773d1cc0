"""Hides what libraries print on standard error, such as TensorFlow's start-up lines."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from rlstm_tf.errors import DataError, UserError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what libraries print on standard error, unless an unexpected error occurs.

    Errors of the user and Ctrl-C count as expected. Redirects the whole process: only one thread
    at a time may use it.

    Raises:
        DataError: no directory for temporary files has room for one.
    """
    try:
        log = tempfile.TemporaryFile()  # noqa: SIM115
    except FileNotFoundError as error:
        raise DataError(f"cannot write temporary files: {error.strerror}") from None
    sys.stderr.flush()
    stderr = os.dup(2)
    with log:
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

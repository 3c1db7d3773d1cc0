"""The only way to a terminal or a log: every line is escaped.

Names of videos, classes and files, and texts of errors, come from elsewhere. A terminal would obey
the control characters in them, and a line break would forge a line.
"""

from __future__ import annotations

import sys


def say(*lines: str, error: bool = False) -> None:
    """Prints lines, each with `escape`, and flushes.

    Args:
        *lines: text without line breaks: one that is in it, in a name, is escaped too.
        error: print on standard error.

    Raises:
        OSError: the stream cannot be written.
    """
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print("\n".join(escape(line, encoding) for line in lines), file=stream, flush=True)


def escape(text: str, encoding: str = "utf-8") -> str:
    r"""Puts text on one line, with control and unencodable characters as `\x1b` and the like.

    Line breaks, marks that reverse the direction of writing, and characters without a width or a
    meaning count as control characters.

    Args:
        text: any text, file names included.
        encoding: encoding of the output.
    """
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in decode_name(text)
    )
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def decode_name(name: str) -> str:
    r"""Makes a file name valid UTF-8: bytes that are not become `\xff`."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a character, which JSON can hold and no file name
        return name.encode("utf-8", "backslashreplace").decode("utf-8")

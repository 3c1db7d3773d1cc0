"""The directory that a report is written into: replaced whole, and only if it holds a report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import cannot_write

INDEX = "index.html"
# Stands in the head of every page of ours, so that a directory of another's is never replaced.
GENERATOR = '<meta name="generator" content="rlstm_tf.report">'
_OURS = {"tables": (".md", ".csv"), "figures": (".png",)}


def check_output(output: str | Path) -> None:
    """Refuses a place that holds anything but a report.

    Raises:
        DataError: it is a file, or holds files that no report writes.
    """
    path = Path(output)
    if not os.path.lexists(path):
        return
    try:
        stranger = _stranger(path)
    except OSError as error:
        raise DataError(f"{output} cannot be read: {error.strerror}") from None
    if stranger is not None:
        raise DataError(
            f"{output} is no report of ours, {stranger} stands there: "
            "--output must be new, empty or a report to replace"
        )


def write_output(output: str | Path, files: Mapping[str, bytes]) -> None:
    """Writes a report beside its place and puts it there as a whole.

    Args:
        output: directory.
        files: content by path in it.

    Raises:
        DataError: `check_output` refuses it, or it cannot be written; what stood there stays.
    """
    path = Path(os.path.realpath(output))
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    old = path.with_name(f"{path.name}.{os.getpid()}.old")
    try:
        for name, content in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        check_output(path)
        if path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    except OSError as error:
        raise cannot_write(output, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _stranger(path: Path) -> str | None:
    """Name of what no report of ours would leave there, if anything."""
    if not path.is_dir():
        return "a file"
    names = sorted(os.listdir(path))
    if not names:
        return None
    for name in names:
        if name in _OURS:
            for inner in sorted((path / name).iterdir()):
                if inner.suffix not in _OURS[name] or not inner.is_file():
                    return f"{name}/{inner.name}"
        elif name != INDEX:
            return name
    index = path / INDEX
    # The head alone: the images make a page long.
    if not index.is_file() or GENERATOR.encode() not in index.read_bytes()[:4096]:
        return f"another {INDEX}, or none"
    return None

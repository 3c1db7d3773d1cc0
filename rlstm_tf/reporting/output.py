"""Output directory of a report: replaced as a whole, and only if it holds a report."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import cannot_write
from rlstm_tf.storage.creation import write_new

INDEX = "index.html"
# Marks our pages, so that no other directory is ever replaced.
GENERATOR = '<meta name="generator" content="rlstm_tf.report">'
_OURS = {"tables": (".md", ".csv"), "figures": (".png",)}


def check_output(output: str | Path) -> None:
    """Refuses an output that exists and is not a report.

    Raises:
        DataError: it is a file, or holds other files.
    """
    path = Path(output)
    if not os.path.lexists(path):
        return
    try:
        reason = _not_a_report(path)
    except OSError as error:
        raise DataError(f"{output} cannot be read: {error.strerror}") from None
    if reason is not None:
        raise DataError(
            f"{output} is not a report ({reason}): "
            "--output must be new, empty or a report to replace"
        )


def write_output(output: str | Path, files: Mapping[str, bytes]) -> None:
    """Writes a report beside its output directory, then replaces the directory.

    Args:
        output: directory.
        files: content by relative path.

    Raises:
        DataError: `check_output` refuses it, or it cannot be written; the directory is unchanged.
    """
    path = Path(os.path.realpath(output))
    unique = f"{path.name}.{secrets.token_hex(8)}"
    partial, old = path.with_name(f"{unique}.partial"), path.with_name(f"{unique}.old")
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            (partial / name).parent.mkdir(exist_ok=True)
            write_new(partial / name, content)
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


def _not_a_report(path: Path) -> str | None:
    """Returns why a path is not a report; None if it is one, or empty."""
    if not path.is_dir():
        return "it is a file"
    names = sorted(os.listdir(path))
    if not names:
        return None
    for name in names:
        if name in _OURS:
            for inner in sorted((path / name).iterdir()):
                if inner.suffix not in _OURS[name] or not inner.is_file():
                    return f"it holds {name}/{inner.name}"
        elif name != INDEX:
            return f"it holds {name}"
    index = path / INDEX
    if index.is_file():
        # Images make a page long: reads its head only.
        with index.open("rb") as file:
            if GENERATOR.encode() in file.read(4096):
                return None
    return f"it has no {INDEX} of a report"

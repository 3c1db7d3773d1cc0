"""Texts in CSV files that people open in a spreadsheet."""

from __future__ import annotations

from typing import Any

from rlstm_tf.messages import escape

# Spreadsheets take a cell that begins so for a formula, which can run a program.
_FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001


def as_text(cell: Any) -> Any:
    """Returns a cell that a spreadsheet shows as it is: a formula gets an apostrophe before it.

    Numbers, and texts of numbers, stay as they are; control characters are escaped.
    """
    if not isinstance(cell, str):
        return cell
    # Not every reader takes a line break in a cell, or skips a tab at its start.
    cell = escape(cell)
    if not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell

"""Cells of CSV files that spreadsheets would take for formulas."""

import csv
import io

import pytest

from rlstm_tf.reporting.tables import to_csv
from rlstm_tf.storage.spreadsheets import as_text
from rlstm_tf.tuning.results import Trial, table


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1+1", "-x", "@SUM(A1)", "\uff1d1"])
def test_formulas_get_an_apostrophe(cell):
    assert as_text(cell) == "'" + cell
    (row,) = csv.reader(io.StringIO(to_csv([[cell, "12"]]), newline=""))
    assert row == ["'" + cell, "12"]


def test_line_breaks_are_escaped():
    assert to_csv([["\r=1\n", "\t=1"]]) == "\\r=1\\n,\\t=1\n"


@pytest.mark.parametrize("cell", ["walk", "a=b", "-1.5", "+3", "-1e-05", "", -1.5, None, "é"])
def test_others_stay(cell):
    assert as_text(cell) == cell


def test_the_table_of_a_search():
    trial = Trial(1, {"learning_rate": -1.5}, epochs=1, reason="=1+1")
    row = list(csv.reader(io.StringIO(table([trial], ["learning_rate"]), newline="")))[1]
    assert row[-2:] == ["-1.5", "'=1+1"]

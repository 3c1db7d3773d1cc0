"""Rows of `benchmarks.accelerator`: a CSV file, written after each row, and a Markdown table."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path

from rlstm_tf.messages import say
from rlstm_tf.storage.atomic import write_atomic, writing

_HEAD = (
    "| case | batch | pass | precision | ms | G multiply-adds | TFLOP/s | of GEMM peak "
    "| peak memory, GB | first call, s | error |",
    "|---|---:|---|---|---:|---:|---:|---:|---:|---:|---|",
)


@dataclass(frozen=True)
class Row:
    """One measurement, or the reason why there is none.

    Attributes:
        case: what was timed; `gemm` for the peak, `check` for the comparison with float64.
        part: the pass: forward, forward + backward, training step, or gradients.
        precision: float32, tf32 or bfloat16.
        batch: videos.
        seconds: of a call, the median.
        multiply_adds: of a call.
        of_gemm: share of the peak in the same precision.
        memory_bytes: at the peak.
        first_seconds: of the first call, which compiles.
        error: largest relative error against float64.
        tolerance: largest allowed.
        note: why there is no measurement.
    """

    case: str
    part: str
    precision: str
    batch: int | None = None
    seconds: float | None = None
    multiply_adds: int | None = None
    of_gemm: float | None = None
    memory_bytes: int | None = None
    first_seconds: float | None = None
    error: float | None = None
    tolerance: float | None = None
    note: str = ""

    @property
    def tera(self) -> float | None:
        """TFLOP/s, two operations for each multiply-add."""
        if self.seconds is None or self.multiply_adds is None:
            return None
        return 2e-12 * self.multiply_adds / self.seconds

    def to_markdown(self) -> str:
        """Formats a line of the table."""
        scaled = (
            _times(self.seconds, 1e3),
            _times(self.multiply_adds, 1e-9),
            self.tera,
            self.of_gemm,
            _times(self.memory_bytes, 1e-9),
            self.first_seconds,
        )
        error = self.note
        if self.error is not None:
            error = f"{self.error:.1e}, {self.tolerance:g} allowed"
        cells = [self.case, self.batch or "", self.part, self.precision]
        cells += ["" if value is None else _three_digits(value) for value in scaled]
        return "| " + " | ".join(map(str, [*cells, error])) + " |"


COLUMNS = ("backend", "device", "compiler", "commit", *(f.name for f in dataclasses.fields(Row)))


class Table:
    """Prints and writes rows as they come.

    Args:
        origin: cells that all rows have in the file.
        path: CSV file; None = print only.
    """

    def __init__(self, origin: dict[str, str], path: str | None) -> None:
        self.rows: list[Row] = []
        self._origin, self._path = origin, path

    def begin(self) -> None:
        """Prints the head, and writes a file without rows: what cannot be written fails early.

        Raises:
            DataError: the file cannot be written.
        """
        self._write()
        say(*_HEAD)

    def add(self, row: Row) -> None:
        """Prints a row, and writes all so far; raises like `begin`."""
        self.rows.append(row)
        say(row.to_markdown())
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**self._origin, **dataclasses.asdict(row)} for row in self.rows)
        path = Path(self._path)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text.getvalue().encode())


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"

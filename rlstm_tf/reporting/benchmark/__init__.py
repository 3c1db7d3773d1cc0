"""Report on the relational benchmark: tables, figures and a page."""

from rlstm_tf.reporting.benchmark.assembly import assemble
from rlstm_tf.reporting.benchmark.rows import read_benchmark

__all__ = ["assemble", "read_benchmark"]

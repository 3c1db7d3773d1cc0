"""Published numbers, in the layout of the paper's tables.

Source: Chen et al., "Relational Long Short-Term Memory for Video Action Recognition", arXiv
1811.07059, tables 2-8. Percentages are accuracy, in table 8 mean average precision. Of the methods
that the paper cites, the recurrent ones are in table 6, the others in table 7.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from rlstm_tf.reporting.paper_runs import SIZES

SPATIAL, TEMPORAL, TWO_STREAM = STREAMS = ("spatial", "temporal", "two_stream")
NUM_SEGMENTS = 8
CUT = "conv5_block2_out"
BACKBONE = "resnet101v2"
PROTOCOL = "paper"
# Videos of the official test sets, by data set and split.
TEST_VIDEOS = {key: tested for key, (_, tested) in SIZES.items()}
TITLES = {"ucf101": "UCF-101", "hmdb51": "HMDB-51", "charades": "Charades"}


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        label: name in the paper.
        percent: published number by column; None = none.
        models: models whose scores are averaged; empty for a method that is only cited.
        num_segments: T.
        cut: layer that ends the trunk.
        exact: the row is about T or the cut, and takes no result with others.
    """

    label: str
    percent: Sequence[float | None]
    models: Sequence[str] = ()
    num_segments: int = NUM_SEGMENTS
    cut: str = CUT
    exact: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        head: heading in the paper.
        dataset: name in the manifests of the shards.
        splits: splits over which the numbers are means; empty if the data set has none.
        stream: `spatial`, `temporal` or `two_stream`.
    """

    head: str
    dataset: str
    splits: Sequence[int]
    stream: str


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: name of its files.
        title: heading on the page.
        caption: text below the heading.
        corner: head of the column of labels.
        columns, rows: in the paper's order.
        is_published: true if the table is in the paper.
    """

    name: str
    title: str
    caption: str
    corner: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    is_published: bool = True


def _read() -> tuple[Table, ...]:
    file = resources.files("rlstm_tf.reporting").joinpath("published.json")
    content = json.loads(file.read_text("utf-8"))
    columns = {
        name: [Column(**column) for column in group] for name, group in content["columns"].items()
    }
    return tuple(
        Table(
            **{
                **table,
                "columns": columns[table["columns"]],
                "rows": [Row(**row) for row in table["rows"]],
            }
        )
        for table in content["tables"]
    )


TABLES = _read()

"""Published numbers, in the layout of the paper's tables.

Source: Chen et al., "Relational Long Short-Term Memory for Video Action Recognition", arXiv
1811.07059, tables 2-8. Percentages are accuracy, in table 8 mean average precision. Of the methods
that the paper cites, the recurrent ones are in table 6, the others in table 7.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    percent: tuple[float | None, ...]
    models: tuple[str, ...] = ()
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
    splits: tuple[int, ...]
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
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    is_published: bool = True


_FIRST = "UCF-101 split 1"
_FIRST_SPLIT = tuple(
    Column(head, "ucf101", (1,), stream)
    for head, stream in zip(("spatial", "temporal", "two-stream"), STREAMS)
)
_THREE_SPLITS = tuple(
    Column(TITLES[dataset], dataset, (1, 2, 3), TWO_STREAM) for dataset in ("ucf101", "hmdb51")
)
_TSN = Row("TSN", (87.0, 88.5, 93.8), ("tsn",))
_R_LSTM = Row("R-LSTM", (86.9, 87.5, 93.8), ("rlstm",))
_TWO_BRANCH = (88.7, 88.1, 94.4)
_NOTHING = (None, None, None)


def _two_branch(
    label: str,
    percent: tuple[float | None, ...],
    num_segments: int = NUM_SEGMENTS,
    cut: str = CUT,
    exact: bool = True,
) -> Row:
    return Row(label, percent, ("two_branch",), num_segments, cut, exact)


_RECURRENT = (
    Row("Two-Stream+LSTM", (88.6, None)),
    Row("VideoLSTM", (89.2, 56.4)),
    Row("HAN", (92.7, 64.3)),
    Row("L2STM", (93.6, 66.2)),
)
_OTHERS = (
    Row("iDT", (86.4, 61.7)),
    Row("Two-Stream", (88.0, 59.4)),
    Row("KVMDF", (93.1, 63.3)),
    Row("ST-ResNet", (93.4, 66.4)),
    Row("Two-Stream I3D", (93.4, 66.4)),
    Row("TSN", (94.0, 68.5)),
    Row("ST-Multiplier", (94.2, 68.9)),
    Row("ST-Pyramid", (94.6, 68.9)),
    Row("MiCT", (94.7, 70.5)),
    Row("CoViAR", (94.9, 70.2)),
)
_OURS = (
    Row("R-LSTM", (94.2, None), ("rlstm",)),
    _two_branch("Two-branch", (94.8, 71.4), exact=False),
)
_ON_CHARADES = (
    Row("Two-Stream", (18.6,)),
    Row("Two-Stream+LSTM", (17.8,)),
    Row("CoViAR", (21.9,)),
    Row("Asyn-TF", (22.4,)),
    Row("MultiScale TRN", (25.2,)),
    Row("TSN", (25.6,), ("tsn",)),
    _two_branch("Two-branch", (28.8,), exact=False),
)

TABLES = (
    Table(
        "table2",
        "Table 2",
        "The Relational LSTM against averaging: UCF-101, split 1.",
        _FIRST,
        _FIRST_SPLIT,
        (_TSN, _R_LSTM, Row("TSN + R-LSTM", (88.6, 89.1, 94.2), ("tsn", "rlstm"))),
    ),
    Table(
        "table3",
        "Table 3",
        "Number of snippets T: two-branch network, UCF-101, split 1.",
        _FIRST,
        _FIRST_SPLIT,
        (
            _two_branch("T = 6", (87.2, 87.9, 94.2), 6),
            _two_branch("T = 8", _TWO_BRANCH),
            _two_branch("T = 10", (88.1, 87.5, 94.1), 10),
            _two_branch("T = 12", (87.4, 87.4, 93.5), 12),
        ),
    ),
    Table(
        "table4",
        "Table 4",
        "One branch and both: UCF-101, split 1.",
        _FIRST,
        _FIRST_SPLIT,
        (
            _R_LSTM,
            Row("Local branch only", (87.4, 87.3, 94.0), ("local",)),
            _two_branch("Two-branch", _TWO_BRANCH),
        ),
    ),
    Table(
        "table5",
        "Table 5",
        "Where the trunk ends: two-branch network, UCF-101, split 1.",
        _FIRST,
        _FIRST_SPLIT,
        (
            _two_branch("After conv5_1", (87.5, 87.7, 94.0), cut="conv5_block1_out"),
            _two_branch("After conv5_2", _TWO_BRANCH),
            _two_branch("After conv5_3", (87.7, 87.5, 93.8), cut="conv5_block3_out"),
        ),
    ),
    Table(
        "table6",
        "Table 6",
        "Against other recurrent networks: accuracy, mean over three splits, two streams.",
        "Method",
        _THREE_SPLITS,
        (*_RECURRENT, *_OURS),
    ),
    Table(
        "table7",
        "Table 7",
        "Against the state of the art: accuracy, mean over three splits, two streams.",
        "Method",
        _THREE_SPLITS,
        (*_OTHERS, *_OURS),
    ),
    Table(
        "table8",
        "Table 8",
        "Against the state of the art: mean average precision, RGB.",
        "Method",
        (Column("Charades", "charades", (), SPATIAL),),
        _ON_CHARADES,
    ),
    Table(
        "recurrent_peers",
        "Recurrent peers",
        "Other recurrent networks in its place, which the paper did not run: UCF-101, split 1.",
        _FIRST,
        _FIRST_SPLIT,
        (
            Row("TSN", _NOTHING, ("tsn",)),
            Row("LSTM", _NOTHING, ("lstm",)),
            Row("ConvLSTM", _NOTHING, ("convlstm",)),
            _two_branch("Two-branch", _NOTHING),
        ),
        is_published=False,
    ),
)

"""The figures that the paper published, in the layout of its tables.

Source: Chen et al., "Relational Long Short-Term Memory for Video Action Recognition", arXiv
1811.07059, tables 2-8. A percentage is accuracy, in table 8 mean average precision.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.reproduction import SIZES

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
        label: as the paper has it.
        percent: published, one for each column; None where there is none.
        models: whose scores are averaged; empty for a method that is only cited.
        num_segments: T.
        cut: layer that ends the trunk.
        exact: T and the cut are what this row is about: no other will do.
    """

    label: str
    percent: tuple[float | None, ...]
    models: tuple[str, ...] = ()
    num_segments: int = NUM_SEGMENTS
    cut: str = CUT
    exact: bool = False


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of its files.
        title: what it is called on the page.
        caption: what it shows.
        dataset: as in the manifests of the shards.
        splits: whose mean each figure is; empty where the data set has no splits.
        streams: one a column.
        rows: in the paper's order.
        is_published: the paper has it.
    """

    name: str
    title: str
    caption: str
    dataset: str
    splits: tuple[int, ...]
    streams: tuple[str, ...]
    rows: tuple[Row, ...]
    is_published: bool = True


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


def _cited(**percent: float) -> tuple[Row, ...]:
    return tuple(Row(_METHODS[name], (value,)) for name, value in percent.items())


_METHODS = {
    "two_stream_lstm": "Two-Stream+LSTM",
    "video_lstm": "VideoLSTM",
    "han": "HAN",
    "l2stm": "L2STM",
    "idt": "iDT",
    "two_stream": "Two-Stream",
    "kvmdf": "KVMDF",
    "st_resnet": "ST-ResNet",
    "i3d": "Two-Stream I3D",
    "tsn": "TSN",
    "st_multiplier": "ST-Multiplier",
    "st_pyramid": "ST-Pyramid",
    "mict": "MiCT",
    "coviar": "CoViAR",
    "asyn_tf": "Asyn-TF",
    "trn": "MultiScale TRN",
}

TABLES = (
    Table(
        "table2",
        "Table 2",
        "The Relational LSTM against averaging: UCF-101, split 1.",
        "ucf101",
        (1,),
        STREAMS,
        (_TSN, _R_LSTM, Row("TSN + R-LSTM", (88.6, 89.1, 94.2), ("tsn", "rlstm"))),
    ),
    Table(
        "table3",
        "Table 3",
        "Number of snippets T: two-branch network, UCF-101, split 1.",
        "ucf101",
        (1,),
        STREAMS,
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
        "ucf101",
        (1,),
        STREAMS,
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
        "ucf101",
        (1,),
        STREAMS,
        (
            _two_branch("After conv5_1", (87.5, 87.7, 94.0), cut="conv5_block1_out"),
            _two_branch("After conv5_2", _TWO_BRANCH),
            _two_branch("After conv5_3", (87.7, 87.5, 93.8), cut="conv5_block3_out"),
        ),
    ),
    Table(
        "table6",
        "Table 6",
        "Against the state of the art: UCF-101, accuracy, mean over three splits.",
        "ucf101",
        (1, 2, 3),
        (TWO_STREAM,),
        (
            *_cited(two_stream_lstm=88.6, video_lstm=89.2, han=92.7, l2stm=93.6, idt=86.4),
            *_cited(two_stream=88.0, kvmdf=93.1, st_resnet=93.4, i3d=93.4, tsn=94.0),
            *_cited(st_multiplier=94.2, st_pyramid=94.6, mict=94.7, coviar=94.9),
            Row("R-LSTM", (94.2,), ("rlstm",)),
            _two_branch("Two-branch", (94.8,), exact=False),
        ),
    ),
    Table(
        "table7",
        "Table 7",
        "Against the state of the art: HMDB-51, accuracy, mean over three splits.",
        "hmdb51",
        (1, 2, 3),
        (TWO_STREAM,),
        (
            *_cited(video_lstm=56.4, han=64.3, l2stm=66.2, idt=61.7, two_stream=59.4),
            *_cited(kvmdf=63.3, st_resnet=66.4, i3d=66.4, tsn=68.5, st_multiplier=68.9),
            *_cited(st_pyramid=68.9, mict=70.5, coviar=70.2),
            Row("R-LSTM", (None,), ("rlstm",)),
            _two_branch("Two-branch", (71.4,), exact=False),
        ),
    ),
    Table(
        "table8",
        "Table 8",
        "Against the state of the art: Charades, RGB, mean average precision.",
        "charades",
        (),
        (SPATIAL,),
        (
            *_cited(two_stream=18.6, two_stream_lstm=17.8, coviar=21.9, asyn_tf=22.4, trn=25.2),
            Row("TSN", (25.6,), ("tsn",)),
            _two_branch("Two-branch", (28.8,), exact=False),
        ),
    ),
    Table(
        "recurrent_peers",
        "Recurrent peers",
        "Other recurrent networks in its place, which the paper did not run: UCF-101, split 1.",
        "ucf101",
        (1,),
        STREAMS,
        (
            Row("TSN", _NOTHING, ("tsn",)),
            Row("LSTM", _NOTHING, ("lstm",)),
            Row("ConvLSTM", _NOTHING, ("convlstm",)),
            _two_branch("Two-branch", _NOTHING),
        ),
        is_published=False,
    ),
)

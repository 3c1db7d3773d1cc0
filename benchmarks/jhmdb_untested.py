"""Lists of the clips of J-HMDB that no split tests."""

from __future__ import annotations

from pathlib import Path

from rlstm_tf.storage.atomic import write_atomic, writing
from tfrecords_tools.datasets.jhmdb import COUNTS, read_jhmdb


def write_lists(videos: str, splits: str, directory: Path) -> None:
    """Writes a split 1 whose training videos are those of all splits' training lists.

    Settings that are chosen on these clips have seen none that is tested.

    Args:
        videos: directory with a folder of clips per class.
        splits: directory of the split files.
        directory: where the new ones are written, in the same format.

    Raises:
        DataError: the files are not those of J-HMDB, or cannot be written.
    """
    datasets = [read_jhmdb(videos, splits, split) for split in COUNTS]
    trained = [{it.id for it in found.videos if it.subset == "train"} for found in datasets]
    untested = sorted(set.intersection(*trained))
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    for name in datasets[0].classes:
        files = [file for folder, file in (it.split("/") for it in untested) if folder == name]
        path = directory / f"{name}_test_split1.txt"
        with writing(path):
            write_atomic(path, "".join(f"{file} 1\n" for file in files).encode())

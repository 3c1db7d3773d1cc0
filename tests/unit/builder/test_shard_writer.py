import errno
import os
import zlib

import numpy as np
import pytest
import tensorflow as tf

from rlstm_tf.data import schema
from tfrecords_tools.builder import shard_writer
from tfrecords_tools.builder.shard_writer import Context, Sample, write_shard

NAME = "train-00000-of-00001"


def frames(count, seed=0):
    """Makes bytes that begin like a JPEG."""
    random = np.random.default_rng(seed)
    return [b"\xff\xd8\xff" + random.bytes(50 + number) for number in range(count)]


def context(name, count):
    return Context(name, (Sample(1, "climb é", 0, count),), 29.97, 256, 341, count)


def sequential(path):
    """Reads the records with TFRecordDataset and parse_single_sequence_example."""
    scalar = {
        **dict.fromkeys((schema.ID, schema.CLASS_NAME), tf.io.FixedLenFeature([], tf.string)),
        **dict.fromkeys(
            (
                *(schema.LABEL, schema.LABEL_FIRST_FRAME, schema.LABEL_NUM_FRAMES),
                *(schema.HEIGHT, schema.WIDTH, schema.NUM_FRAMES, schema.FIRST_FRAME),
            ),
            tf.io.FixedLenFeature([], tf.int64),
        ),
        schema.FPS: tf.io.FixedLenFeature([], tf.float32),
    }
    lists = {schema.FRAMES: tf.io.FixedLenSequenceFeature([], tf.string)}
    for message in tf.data.TFRecordDataset(path):
        values, sequences = tf.io.parse_single_sequence_example(message, scalar, lists)
        yield (
            {key: value.numpy() for key, value in values.items()},
            list(sequences[schema.FRAMES].numpy()),
        )


def test_positional_reads_equal_sequential_reads(tmp_path):
    videos = {"climb/a é (1)!+.avi": frames(7), "b": frames(1, seed=1), "c": frames(4, seed=2)}
    shard = write_shard(
        str(tmp_path),
        NAME,
        [(context(name, len(jpegs)), jpegs) for name, jpegs in videos.items()],
        frames_per_record=3,
    )
    path = schema.tfrecord_path(str(tmp_path), NAME)
    content = (tmp_path / (NAME + ".tfrecord")).read_bytes()
    rows = np.load(schema.records_path(str(tmp_path), NAME))
    places = np.load(schema.frames_path(str(tmp_path), NAME))
    read = list(sequential(path))
    assert (shard.records, shard.videos, shard.frames) == (6, 3, 12) == (len(read), 3, len(places))
    assert shard.bytes == len(content)

    assert [(row["id"].decode(), row["first_frame"], row["num_frames"]) for row in rows] == [
        ("climb/a é (1)!+.avi", 0, 3),
        ("climb/a é (1)!+.avi", 3, 3),
        ("climb/a é (1)!+.avi", 6, 1),
        ("b", 0, 1),
        ("c", 0, 3),
        ("c", 3, 1),
    ]
    for row, (values, jpegs) in zip(rows, read):
        own = places[row["first_row"] :][: row["num_frames"]]
        assert [content[o : o + s] for o, s in zip(own["offset"], own["size"])] == jpegs
        assert [zlib.crc32(jpeg) for jpeg in jpegs] == own["crc32"].tolist()
        whole = videos[row["id"].decode()]
        assert jpegs == whole[row["first_frame"] :][: row["num_frames"]]
        assert values == {
            "id": row["id"],
            "label": 1,
            "class_name": "climb é".encode(),
            "label_first_frame": 0,
            "label_num_frames": len(whole),
            "fps": np.float32(29.97),
            "height": 256,
            "width": 341,
            "num_frames": len(whole),
            "first_frame": row["first_frame"],
        }
        assert (row["fps"], row["height"], row["width"]) == (np.float32(29.97), 256, 341)
    samples = np.load(schema.samples_path(str(tmp_path), NAME))
    assert samples.tolist() == [(0, 1, 0, 7), (1, 1, 0, 1), (2, 1, 0, 4)]


def test_labels_of_intervals(tmp_path):
    """Every record of a video has all its labels; the index lists them once."""
    labels = (Sample(4, "e", 2, 3), Sample(0, "a é", 0, 0), Sample(4, "e", 0, 1))
    videos = [
        (Context("a", labels, 25.0, 8, 16, 5), frames(5)),
        (Context("b", (), 25.0, 8, 16, 2), frames(2)),
        (Context("c", (Sample(1, "b", 1, 1),), 25.0, 8, 16, 2), frames(2)),
    ]
    shard = write_shard(str(tmp_path), NAME, videos, frames_per_record=3)
    assert (shard.records, shard.videos, shard.frames, shard.samples) == (4, 3, 9, 3)
    index = np.load(schema.samples_path(str(tmp_path), NAME))
    assert index.dtype == schema.SAMPLE
    assert index.tolist() == [(0, 4, 2, 3), (0, 0, 0, 0), (0, 4, 0, 1), (2, 1, 1, 1)]
    kinds = {
        **dict.fromkeys(("label", "label_first_frame", "label_num_frames"), tf.int64),
        "class_name": tf.string,
    }
    read = []
    for message in tf.data.TFRecordDataset(schema.tfrecord_path(str(tmp_path), NAME)):
        features = {name: tf.io.VarLenFeature(kind) for name, kind in kinds.items()}
        values, _ = tf.io.parse_single_sequence_example(message, features)
        read.append({name: values[name].values.numpy().tolist() for name in kinds})
    of_a = {
        "label": [4, 0, 4],
        "label_first_frame": [2, 0, 0],
        "label_num_frames": [3, 0, 1],
        "class_name": [b"e", "a é".encode(), b"e"],
    }
    assert read[:2] == [of_a, of_a]
    assert read[2] == {name: [] for name in kinds}
    assert read[3]["class_name"] == [b"b"]


def test_same_bytes_every_time(tmp_path):
    shards = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shards.append(write_shard(str(tmp_path / name), NAME, [(context("a", 5), frames(5))]))
    assert shards[0] == shards[1]


def test_equal_frames_have_separate_offsets(tmp_path):
    write_shard(str(tmp_path), NAME, [(context("a", 3), frames(1) * 3)])
    offsets = np.load(schema.frames_path(str(tmp_path), NAME))["offset"]
    assert len(set(offsets.tolist())) == 3


def test_size_of_a_record_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "RECORD_BYTES", 1000)
    write_shard(str(tmp_path), NAME, [(context("a", 5), [bytes(400)] * 4 + [bytes(3000)])])
    rows = np.load(schema.records_path(str(tmp_path), NAME))
    assert rows["num_frames"].tolist() == [2, 2, 1]


def test_appears_only_when_complete(tmp_path):
    def broken():
        yield from frames(2)
        raise KeyError

    with pytest.raises(KeyError):
        write_shard(str(tmp_path), NAME, [(context("a", 3), broken())])
    with pytest.raises(ValueError, match="a: 2 frames, expected 3"):
        write_shard(str(tmp_path), NAME, [(context("a", 3), frames(2))])
    assert {path.suffix for path in tmp_path.iterdir()} == {".partial"}


def test_shard_without_videos(tmp_path):
    shard = write_shard(str(tmp_path), NAME, [])
    assert (shard.records, shard.videos, shard.frames, shard.bytes) == (0, 0, 0, 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_an_oserror(tmp_path, monkeypatch):
    class FullWriter(tf.io.TFRecordWriter):
        def __init__(self, path):
            super().__init__("/dev/full")

    monkeypatch.setattr(tf.io, "TFRecordWriter", FullWriter)
    with pytest.raises(OSError, match="No space left") as caught:
        write_shard(str(tmp_path), NAME, [(context("a", 1), [bytes(1 << 20)])])
    assert caught.value.errno == errno.ENOSPC

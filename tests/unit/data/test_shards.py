import dataclasses
import gc
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tensorflow as tf
from small_shards import CLASSES, HEIGHT, WIDTH, field_levels, flip_byte, jpeg, write_shards

from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError

LENGTHS = [5, 12, 1, 7, 9]
# Videos are distributed over two shards in turn.
ORDER = [0, 2, 4, 1, 3]


@pytest.fixture
def directory(tmp_path):
    write_shards(tmp_path / "shards", LENGTHS)
    return tmp_path / "shards"


def test_attributes(directory):
    shards = Shards.open(str(directory), "train")
    assert len(shards) == 5
    assert shards.ids == [f"v{video}" for video in ORDER]
    assert shards.classes == list(CLASSES)
    assert shards.labels.dtype == np.int32
    assert shards.labels.tolist() == [video % 3 for video in ORDER]
    assert shards.num_frames.tolist() == [LENGTHS[video] for video in ORDER]
    assert shards.heights.tolist() == [HEIGHT] * 5
    assert shards.widths.tolist() == [WIDTH] * 5
    assert shards.manifest.dataset == "folder"
    # With one label per video, each sample is a whole video.
    assert shards.samples["video"].tolist() == [0, 1, 2, 3, 4]
    assert shards.samples["label"].tolist() == shards.labels.tolist()
    assert shards.samples["first_frame"].tolist() == [0] * 5
    assert shards.samples["num_frames"].tolist() == shards.num_frames.tolist()


def test_videos_with_several_labels_or_none(tmp_path):
    """Shard 0 holds v0, v2, v4; shard 1 holds v1, v3."""
    actions = [[(2, 1, 4), (0, 0, 5), (2, 0, 1)], [(1, 3, 9)], [], [(0, 0, 0), (1, 6, 1)], []]
    manifest = write_shards(tmp_path / "shards", LENGTHS, actions=actions, multi_label=True)
    assert manifest.subsets["train"].samples == 5
    assert [shard.samples for shard in manifest.subsets["train"].shards] == [3, 2]
    shards = Shards.open(str(tmp_path / "shards"), "train")
    assert shards.samples.tolist() == [
        (0, 2, 1, 4),
        (0, 0, 0, 5),
        (0, 2, 0, 1),
        (3, 1, 3, 9),
        (4, 1, 6, 1),
    ]
    assert [shards.samples.dtype[name] for name in shards.samples.dtype.names] == [
        *(np.int64, np.int32, np.int64, np.int64)
    ]
    assert shards.labels.dtype == bool
    # v3 also has label 0, but no sample of it.
    assert shards.labels.astype(int).tolist() == [
        *([1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0])
    ]


def test_subset_without_labels(tmp_path):
    write_shards(tmp_path / "shards", [3, 3], actions=[[], []], multi_label=True)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    assert (len(shards), len(shards.samples)) == (2, 0)
    assert not shards.labels.any()


@pytest.mark.parametrize("interval", [(5, 1), (4, 2), (0, 6)])
def test_interval_beyond_its_video_is_refused(tmp_path, interval):
    write_shards(tmp_path / "shards", [5, 12], actions=[[(0, *interval)], []], multi_label=True)
    message = (
        rf"train-00000-of-00002: video 'v0': a sample up to frame {sum(interval)}, the video has 5"
    )
    with pytest.raises(DataError, match=message):
        Shards.open(str(tmp_path / "shards"), "train")


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([], "has 0 labels, expected one"),
        ([(0, 0, 5), (1, 0, 5)], "has 2 labels, expected one"),
        ([(0, 0, 4)], "has a label for 4 of its 5 frames, expected all"),
        ([(0, 0, 0)], "has a label for 0 of its 5 frames, expected all"),
    ],
)
def test_other_than_one_label_is_refused_unless_multi_label(tmp_path, actions, message):
    write_shards(tmp_path / "shards", [5, 3], actions=[actions, [(0, 0, 3)]])
    with pytest.raises(DataError, match=f"train-00000-of-00002: video 'v0' {message}"):
        Shards.open(str(tmp_path / "shards"), "train")


def test_wrong_label_without_frames_is_refused(tmp_path):
    write_shards(tmp_path / "shards", [5], actions=[[(3, 0, 0)]], multi_label=True, num_shards=1)
    with pytest.raises(DataError, match=r"'v0' has label 3, the class list allows 0 to 2"):
        Shards.open(str(tmp_path / "shards"), "train")


def test_flow_fields_of_the_temporal_stream(tmp_path):
    manifest = write_shards(tmp_path / "shards", LENGTHS, stream="temporal")
    assert manifest.stream == "temporal"
    shards = Shards.open(str(tmp_path / "shards"), "train")
    assert (shards.heights[0], shards.widths[0]) == (HEIGHT, WIDTH)
    (stored,) = shards.read_frames(1, [0])
    levels = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.shape == (2 * HEIGHT, WIDTH)
    x, y = field_levels(2, 0)
    assert (levels[:HEIGHT] == x).all()
    assert (levels[HEIGHT:] == y).all()


# With two frames per record, longer videos are split into several records.
@pytest.mark.parametrize("frames_per_record", [512, 2])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_frames_have_the_written_bytes(tmp_path, frames_per_record, scheme):
    write_shards(tmp_path / "shards", LENGTHS, frames_per_record=frames_per_record)
    shards = Shards.open(scheme + str(tmp_path / "shards"), "train")
    assert shards.ids == [f"v{video}" for video in ORDER]
    for position, video in enumerate(ORDER):
        assert shards.num_frames[position] == LENGTHS[video]
        frames = list(range(LENGTHS[video]))
        jpegs = [jpeg(video, frame) for frame in frames]
        assert shards.read_frames(position, frames) == jpegs
        assert shards.read_frames(position, frames[::-1]) == jpegs[::-1]
        assert shards.read_frames(position, np.array(frames[::2])) == jpegs[::2]
        assert shards.read_frames(position, [frames[-1]] * 2 + frames) == [jpegs[-1]] * 2 + jpegs
        assert shards.read_frames(position, []) == []


def test_tensorflow_reads_the_same_frames(directory):
    shards = Shards.open(str(directory), "train")
    example = next(iter(tf.data.TFRecordDataset(str(directory / "train-00001-of-00002.tfrecord"))))
    _, lists = tf.io.parse_single_sequence_example(
        example, sequence_features={schema.FRAMES: tf.io.FixedLenSequenceFeature([], tf.string)}
    )
    assert list(lists[schema.FRAMES].numpy()) == shards.read_frames(3, range(12))


def test_consecutive_frames_take_one_read(directory, monkeypatch):
    shards = Shards.open(str(directory), "train")
    reads = []
    pread = os.pread

    def counting(descriptor, size, offset):
        reads.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    shards.read_frames(3, range(10))
    assert len(reads) == 1
    shards.read_frames(3, [0, 1, 2, 5, 6, 9, 8])
    assert len(reads) == 5


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_threads_read_concurrently(directory, scheme):
    shards = Shards.open(scheme + str(directory), "train")
    barrier = threading.Barrier(4)

    def read(seed):
        barrier.wait()
        rng = np.random.default_rng(seed)
        for _ in range(100):
            position = rng.integers(5)
            frame = rng.integers(shards.num_frames[position])
            assert shards.read_frames(position, [frame]) == [jpeg(ORDER[position], frame)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's list of open files")
def test_descriptors_are_closed_with_the_shards(directory):
    gc.collect()  # files of other tests must not be closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    shards = Shards.open(str(directory), "train")
    # For each of two shards: its file and its mapped index.
    assert len(os.listdir("/proc/self/fd")) == before + 4
    del shards
    assert len(os.listdir("/proc/self/fd")) == before


def test_frame_numbers_out_of_range_are_refused(directory):
    shards = Shards.open(str(directory), "train")
    for frames in ([5], [0, 5], [-1]):
        with pytest.raises(IndexError, match=r"'v0' has 5 frames"):
            shards.read_frames(0, frames)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_flipped_byte_in_a_frame_is_refused(directory, scheme):
    frames = np.load(directory / "train-00000-of-00002.frames.npy")
    # Rows: 5 frames of v0, 1 of v2, then v4.
    flip_byte(directory / "train-00000-of-00002.tfrecord", int(frames["offset"][8]) + 100)
    shards = Shards.open(scheme + str(directory), "train")
    assert shards.read_frames(2, [0, 1, 3]) == [jpeg(4, frame) for frame in (0, 1, 3)]
    with pytest.raises(DataError, match=r"train-00000-of-00002: video 'v4', frame 2: checksum"):
        shards.read_frames(2, [1, 2, 3])


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_truncated_shard_is_refused(directory, scheme):
    path = directory / "train-00001-of-00002.tfrecord"
    size = path.stat().st_size
    opened = Shards.open(scheme + str(directory), "train")
    frames = np.load(directory / "train-00001-of-00002.frames.npy")
    os.truncate(path, int(frames["offset"][15]) + 10)
    with pytest.raises(DataError, match=rf"{path.name} has \d+ bytes, manifest.json says {size}$"):
        Shards.open(scheme + str(directory), "train")
    # Truncated while open. The shard holds 12 frames of v1, then v3.
    with pytest.raises(
        DataError, match=r"train-00001-of-00002: video 'v3', frame 3: 10 of \d+ bytes left"
    ):
        opened.read_frames(4, range(7))
    with pytest.raises(DataError, match=r"video 'v3', frame 5: 0 of \d+ bytes left"):
        opened.read_frames(4, [0, 5])


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("suffix", ["tfrecord", "records.npy", "frames.npy", "samples.npy"])
def test_missing_file_is_named(directory, scheme, suffix):
    name = f"train-00001-of-00002.{suffix}"
    os.remove(directory / name)
    with pytest.raises(DataError, match=name):
        Shards.open(scheme + str(directory), "train")


@pytest.mark.parametrize("suffix", ["records.npy", "frames.npy", "samples.npy"])
def test_damaged_index_is_refused(directory, suffix):
    flip_byte(directory / f"train-00000-of-00002.{suffix}", 150)
    with pytest.raises(
        DataError, match=rf"00000-of-00002.{suffix} has sha256 .* the manifest says"
    ):
        Shards.open(str(directory), "train")


def test_unknown_subset_and_missing_directory_are_refused(directory, tmp_path):
    with pytest.raises(DataError, match=r"no subset 'test'; it has train"):
        Shards.open(str(directory), "test")
    with pytest.raises(DataError, match="nowhere"):
        Shards.open(str(tmp_path / "nowhere"), "train")


def test_unknown_schema_version_is_refused(directory):
    path = directory / schema.MANIFEST
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 7'))
    with pytest.raises(DataError, match=r"schema version 7.*reads 2"):
        Shards.open(str(directory), "train")


@pytest.mark.parametrize("label", [-1, 3])
def test_label_without_a_class_is_refused(tmp_path, label):
    write_shards(tmp_path / "shards", [3, 3, 3])
    _rewrite(tmp_path / "shards", "samples", _with("label", 1, label))
    with pytest.raises(DataError, match=rf"'v2' has label {label}, the class list allows 0 to 2"):
        Shards.open(str(tmp_path / "shards"), "train")


@pytest.mark.parametrize("num_shards", [1, 2])
def test_duplicate_id_is_refused(tmp_path, num_shards):
    write_shards(tmp_path / "shards", [3, 3, 3], ids=["a", "same", "same"], num_shards=num_shards)
    with pytest.raises(DataError, match="'same' occurs twice"):
        Shards.open(str(tmp_path / "shards"), "train")


def test_ids_of_any_script_and_length(tmp_path):
    ids = ["a", "ходьба/дом_01", "跑步 (1)!", "x" * 300]
    write_shards(tmp_path / "shards", [2] * 4, ids=ids)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    assert shards.ids == [ids[0], ids[2], ids[1], ids[3]]


def _rewrite(directory, kind, change):
    """Changes an index of the first shard, and its checksum in the manifest."""
    path = directory / f"train-00000-of-00002.{kind}.npy"
    np.save(path, change(np.load(path)))
    manifest = Manifest.load(str(directory))
    subset = manifest.subsets["train"]
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    first = dataclasses.replace(subset.shards[0], **{f"{kind}_sha256": checksum})
    subset = dataclasses.replace(subset, shards=(first, *subset.shards[1:]))
    dataclasses.replace(manifest, subsets={"train": subset}).save(str(directory))


def _with(column, row, value):
    def change(rows):
        rows[column][row] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("records", lambda rows: rows[:2], "2 records, 2 videos, 15 frames"),
        ("records", _with("first_frame", 1, 5), "3 records, 2 videos"),
        ("records", _with("num_frames", 1, 2), "do not fit together"),
        ("records", _with("first_row", 1, 4), "do not fit together"),
        ("records", lambda rows: np.arange(3), "other columns"),
        ("samples", lambda rows: rows["label"], "other columns"),
        ("samples", lambda rows: rows[:-1], "has 2 samples, the manifest says 3"),
        ("samples", _with("num_frames", 0, 0), "has 2 samples, the manifest says 3"),
        ("samples", _with("num_frames", 0, 4), "has a label for 4 of its 5 frames"),
        ("samples", _with("first_frame", 0, 1), "a sample up to frame 6, the video has 5"),
        ("samples", _with("video", 2, 1), "a sample up to frame 9, the video has 1"),
        ("samples", _with("video", 2, 3), "a sample of video 3, there are 3"),
        ("samples", lambda rows: rows[[1, 0, 2]], "not in the order of the videos"),
        ("frames", lambda rows: rows["offset"], "other columns"),
        ("frames", lambda rows: rows[:-1], " 14 frames"),
        ("frames", lambda rows: rows[::-1], "overlap"),
        ("frames", _with("size", -1, 1 << 20), "beyond the end"),
    ],
)
def test_inconsistent_index_is_refused(directory, kind, change, message):
    _rewrite(directory, kind, change)
    with pytest.raises(DataError, match=f"train-00000-of-00002.*{message}"):
        Shards.open(str(directory), "train")


def test_index_of_python_objects_is_not_unpickled(directory):
    path = directory / "train-00000-of-00002.records.npy"
    np.save(path, np.array([print, None], object), allow_pickle=True)
    manifest = Manifest.load(str(directory))
    shards = manifest.subsets["train"].shards
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    first = dataclasses.replace(shards[0], records_sha256=checksum)
    subset = dataclasses.replace(manifest.subsets["train"], shards=(first, shards[1]))
    dataclasses.replace(manifest, subsets={"train": subset}).save(str(directory))
    with pytest.raises(DataError, match=r"records\.npy is not an index"):
        Shards.open(str(directory), "train")

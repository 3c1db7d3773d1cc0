"""Labels outside the class list, and other shards' class lists, are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import random

import numpy as np
import pytest
from small_shards import CLASSES, write_shards

from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from tfrecords_tools.builder.plan import make_plan
from tfrecords_tools.checker.checks import find_problems
from tfrecords_tools.datasets.dataset import Action, Dataset, Video

SHARD = "train-00000-of-00001"


def wrong_labels(count):
    """Returns labels just outside the range, far outside, and between."""
    edges = [-1, len(CLASSES), -(1 << 31), (1 << 31) - 1]
    draw = random.Random(0)
    return edges + [
        draw.choice((-1, 1)) * draw.randrange(len(CLASSES), 1 << 31) for _ in range(count)
    ]


@pytest.fixture
def shards(tmp_path):
    write_shards(tmp_path / "shards", [3, 2, 4], num_shards=1)
    return tmp_path / "shards"


def test_refused_when_written(tmp_path, times, survived):
    path = tmp_path / "video.avi"
    path.write_bytes(b"never read")
    labels = wrong_labels(times(40, 4))
    for label in labels:
        actions = Action(0), Action(label)
        video = Video("a/video.avi", str(path), actions, "train", "a")
        dataset = Dataset("folder", 0, CLASSES, (video,), multi_label=True)
        message = f"video 'a/video.avi' has label {label}, the class list allows 0 to 2"
        with pytest.raises(DataError, match=message):
            make_plan(dataset, "spatial", {}, 1)
    survived(10, len(labels))


def test_refused_when_read(shards, times, survived):
    """The checksums match: only the label is wrong."""
    path = shards / f"{SHARD}.samples.npy"
    rows = np.load(path)
    manifest = Manifest.load(str(shards))
    labels = wrong_labels(times(40, 4))
    for number, label in enumerate(labels):
        wrong = rows.copy()
        wrong["label"][number % 3] = label
        np.save(path, wrong)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        subset = manifest.subsets["train"]
        shard = dataclasses.replace(subset.shards[0], samples_sha256=sha256)
        subset = dataclasses.replace(subset, shards=(shard,))
        changed = dataclasses.replace(manifest, subsets={"train": subset})
        changed.save(str(shards))
        message = f"video 'v{number % 3}' has label {label}, the class list allows 0 to 2"
        with pytest.raises(DataError, match=message):
            Shards.open(str(shards), "train")
        found = find_problems(str(shards), Manifest.load(str(shards)), decode=False)
        assert found == {SHARD: [f"{SHARD}: {message}"]}
    survived(10, len(labels))


def test_a_shorter_class_list_is_refused(shards, survived):
    manifest = Manifest.load(str(shards))
    dataclasses.replace(manifest, classes=CLASSES[:2]).save(str(shards))
    message = "video 'v2' has label 2, the class list allows 0 to 1"
    with pytest.raises(DataError, match=message):
        Shards.open(str(shards), "train")
    found = find_problems(str(shards), Manifest.load(str(shards)), decode=False)
    assert found == {SHARD: [f"{SHARD}: {message}"]}
    survived(10, 1)


def test_the_manifest_of_other_shards_is_refused(shards, tmp_path, survived):
    """The same videos and counts, labels of another class list."""
    write_shards(tmp_path / "other", [3, 2, 4], labels=[1, 2, 0], num_shards=1)
    (shards / schema.MANIFEST).write_bytes((tmp_path / "other" / schema.MANIFEST).read_bytes())
    with pytest.raises(DataError, match=rf"{SHARD}\.samples\.npy has sha256 "):
        Shards.open(str(shards), "train")
    assert find_problems(str(shards), Manifest.load(str(shards)), decode=False)
    survived(10, 1)

"""Shards with missing, extra or flipped bytes are refused; the error names the file."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from builds import files
from small_shards import jpeg, write_shards

from rlstm_tf.data import pipeline
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.pipeline import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from tfrecords_tools.checker.checks import find_problems

LENGTHS = [9, 3, 5, 4]
# Order of the videos in two shards that take them in turn.
ORDER = [0, 2, 1, 3]
IDS = [f"v{video}" for video in ORDER]
SHARD = "train-00000-of-00002"
INDEXES = [f"{SHARD}.{kind}.npy" for kind in ("records", "frames", "samples")]


@pytest.fixture
def shards(tmp_path):
    """v0 and v2 in the first shard, v1 and v3 in the second; 4 frames a record."""
    write_shards(tmp_path / "shards", LENGTHS, frames_per_record=4)
    return tmp_path / "shards"


def found_by_verify(directory):
    found = find_problems(str(directory), Manifest.load(str(directory)), decode=False)
    return [problem for of_shard in found.values() for problem in of_shard]


def record_edges(content):
    edges = [0]
    while edges[-1] < len(content):
        edges.append(edges[-1] + 16 + int.from_bytes(content[edges[-1] :][:8], "little"))
    return edges


def test_a_shard_of_any_other_length_is_refused(shards, times, survived):
    path = shards / f"{SHARD}.tfrecord"
    content = path.read_bytes()
    edges = record_edges(content)
    # At every edge of a record, and inside every length and checksum.
    cuts = {edge + more for edge in edges[:-1] for more in (0, 1, 7, 8, 11, 12)}
    cuts |= {edge - less for edge in edges[1:] for less in (1, 4, 5)}
    draw = random.Random(0)
    cuts |= set(draw.sample(range(len(content)), times(200, 10)))
    spoiled = [content[:cut] for cut in cuts]
    spoiled += [content + more for more in (b"\0", content[: edges[1]], content, bytes(4096))]
    for other in spoiled:
        path.write_bytes(other)
        with pytest.raises(DataError) as caught:
            Shards.open(str(shards), "train")
        message = f"{path} has {len(other)} bytes, manifest.json says {len(content)}"
        assert str(caught.value) == message
        found = found_by_verify(shards)
        assert f"{path} has {len(other)} bytes, the manifest says {len(content)}" in found
        if len(other) < len(content):
            left = sum(edge <= len(other) for edge in edges[1:])
            counts = f"{path} has {left} records, the manifest says {len(edges) - 1}"
            inside = f"{path} ends inside record {left}"
            assert {counts, inside} & set(found)
    survived(3, len(spoiled))


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_of_any_other_length_is_refused(shards, times, survived, name):
    path = shards / name
    content = path.read_bytes()
    cuts = random.Random(name).sample(range(len(content)), times(min(len(content), 150), 10))
    for other in [content[:cut] for cut in cuts] + [content + b"\0", content * 2]:
        path.write_bytes(other)
        with pytest.raises(DataError, match=f"^{path} has sha256 "):
            Shards.open(str(shards), "train")
        assert [problem.split(" has ")[0] for problem in found_by_verify(shards)] == [str(path)]
    survived(3, len(cuts) + 2)


def test_a_shard_without_one_of_its_files_is_refused(shards, survived):
    names = sorted(set(files(shards)) - {"manifest.json"})
    for name in names:
        path = shards / name
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(DataError, match=f"{path}: No such file"):
            Shards.open(str(shards), "train")
        assert f"{path}: No such file or directory" in found_by_verify(shards)
        path.write_bytes(content)
    assert found_by_verify(shards) == []
    survived(3, len(names))


def test_a_shard_cut_while_it_is_read_never_gives_fewer_videos(shards, times, survived):
    """Cut after opening: an error, not a shorter epoch."""
    path = shards / f"{SHARD}.tfrecord"
    content = path.read_bytes()
    frames = np.load(shards / INDEXES[1])
    end = int(frames["offset"][-1] + frames["size"][-1])
    config = InputConfig(batch_size=2, num_segments=24, image_size=16)
    cuts = random.Random(0).sample(range(end), times(40, 2))
    cuts += record_edges(content)[: times(-1, 2)]
    for cut in cuts:
        path.write_bytes(content)
        opened = Shards.open(str(shards), "train")
        os.truncate(path, cut)
        batches = pipeline.iterate(pipeline.evaluation_batches(opened, config), opened)
        with pytest.raises(DataError, match=rf"^{SHARD}: video '.*', frame \d+: .* cut short"):
            list(batches)
    survived(3, len(cuts))


def test_a_flipped_byte_of_a_shard_is_named(shards, times, survived):
    path = shards / f"{SHARD}.tfrecord"
    content = path.read_bytes()
    rows = np.load(shards / INDEXES[1])
    names = [("v0", frame) for frame in range(9)] + [("v2", frame) for frame in range(5)]
    draw = random.Random(0)
    positions = draw.sample(range(len(content)), times(200, 10))
    for edge in record_edges(content)[:-1]:
        positions += range(edge, edge + times(14, 2))
    positions += range(len(content) - 4, len(content))
    in_frames = 0
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= draw.randrange(1, 256)
        path.write_bytes(flipped)
        found = found_by_verify(shards)
        assert found[0].startswith(f"{path} has sha256 ")
        if any(edge <= position < edge + 8 for edge in record_edges(content)):
            assert len(found) == 2
            assert found[1].startswith(f"{path} ")
        hit = np.flatnonzero(
            (rows["offset"] <= position) & (position < rows["offset"] + rows["size"])
        )
        opened = Shards.open(str(shards), "train")
        for video, length in enumerate(opened.num_frames):
            own = [frame for name, frame in (names[row] for row in hit) if name == IDS[video]]
            if own:
                message = f"{SHARD}: video '{IDS[video]}', frame {own[0]}: checksum"
                with pytest.raises(DataError, match=message):
                    opened.read_frames(video, range(length))
                assert any(problem.startswith(message) for problem in found)
                in_frames += 1
            else:
                jpegs = [jpeg(ORDER[video], frame) for frame in range(length)]
                assert opened.read_frames(video, range(length)) == jpegs
    assert in_frames > len(positions) / 4
    survived(4, len(positions))


@pytest.mark.parametrize("name", INDEXES)
def test_a_flipped_byte_of_an_index_is_named(shards, times, survived, name):
    path = shards / name
    content = path.read_bytes()
    draw = random.Random(name)
    positions = draw.sample(range(len(content)), times(150, 10))
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= draw.randrange(1, 256)
        path.write_bytes(flipped)
        with pytest.raises(DataError, match=f"^{path} has sha256 "):
            Shards.open(str(shards), "train")
        assert [problem.split(" has ")[0] for problem in found_by_verify(shards)] == [str(path)]
    survived(4, len(positions))


def test_no_flipped_bit_of_a_manifest_passes(shards, times, survived):
    path = shards / "manifest.json"
    content = path.read_bytes()
    flips = [(position, bit) for position in range(len(content)) for bit in range(8)]
    flips = random.Random(0).sample(flips, times(4000, 200))
    for position, bit in flips:
        flipped = bytearray(content)
        flipped[position] ^= 1 << bit
        path.write_bytes(flipped)
        with pytest.raises(DataError) as caught:
            Manifest.load(str(shards))
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    survived(4, len(flips))

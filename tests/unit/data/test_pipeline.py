import dataclasses
import hashlib
import os
import textwrap

import cv2
import numpy as np
import pytest
import tensorflow as tf
import warm_python
from small_shards import (
    CLASSES,
    HEIGHT,
    WIDTH,
    context,
    field_levels,
    flip_byte,
    jpeg,
    write_shards,
)

from rlstm_tf.data import augmentation, batches, flow, pipeline, sample_order, sampling
from rlstm_tf.data.manifest import Manifest, Subset
from rlstm_tf.data.pipeline import InputConfig
from rlstm_tf.data.protocols import CENTER, CHARADES, PAPER, Protocol, get_protocol
from rlstm_tf.data.rng import rng_at
from rlstm_tf.data.sample_draw import draw_sample
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError, UsageError

LENGTHS = [5, 12, 1, 7, 9, 20, 8, 16, 11, 3, 24]
SIZE = 32
GOLDEN_ORDERS = {
    (0, 0): [0, 7, 8, 6, 9, 5, 1, 3, 2, 4],
    (0, 1): [6, 2, 9, 3, 4, 0, 8, 5, 1, 7],
    (1, 0): [6, 0, 7, 9, 4, 1, 8, 5, 2, 3],
}
GROUPS = Protocol("groups", num_groups=2)
GOLDEN_DRAWS = "92052395d9fb5edaae884fb3c61f25480b85af3c7f073e1a5bc2ef4d78d57bd4"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("input") / "shards"
    write_shards(directory, LENGTHS, num_shards=3, frames_per_record=6)
    return Shards.open(str(directory), "train")


def config(**changes):
    return InputConfig(**{"batch_size": 4, "num_segments": 3, "image_size": SIZE, **changes})


def frame_numbers(frames):
    """Returns the numbers of the frames shown: `jpeg` writes 10 times the number into green."""
    return np.rint(frames[..., SIZE // 2, SIZE // 2, 1] / 10).astype(int)


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(np.asarray(found[name]), expected[name], err_msg=name)
        assert np.asarray(found[name]).dtype == expected[name].dtype


def training_batch(shards, settings, step):
    return batches.training_rows(shards, settings, step * settings.batch_size, settings.batch_size)


def evaluation_batch(shards, settings, step, views=CENTER):
    first = step * settings.batch_size
    examples = [
        batches.evaluation_example(shards, settings, position, views)
        for position in range(first, first + settings.batch_size)
    ]
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def number_of(shards, position):
    """Returns the number of a video in `write_shards`, given its position in `shards`."""
    return int(shards.ids[position][1:])


# One training batch.


def test_training_batch_matches_its_videos_and_labels(shards):
    batch = training_batch(shards, config(), 0)
    assert batch["frames"].shape == (4, 3, SIZE, SIZE, 3)
    assert batch["frames"].dtype == np.uint8
    assert batch["label"].dtype == np.int32
    assert batch["video"].dtype == np.int64
    np.testing.assert_array_equal(batch["label"], shards.labels[batch["video"]])
    for video, shown in zip(batch["video"], batch["frames"]):
        number, length = number_of(shards, video), shards.num_frames[video]
        np.testing.assert_allclose(shown[..., 0], 20 * number, atol=2)
        frames = frame_numbers(shown)
        edges = [segment * length // 3 for segment in range(4)]
        for segment, frame in enumerate(frames):
            assert edges[segment] <= frame < max(edges[segment + 1], edges[segment] + 1)


@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_every_epoch_shows_each_sample_once(shards, batch_size):
    """Batches cross the ends of epochs; 11 samples."""
    settings = config(batch_size=batch_size)
    steps = -(-4 * 11 // batch_size)
    seen = [training_batch(shards, settings, step)["video"] for step in range(steps)]
    assert {len(videos) for videos in seen} == {batch_size}
    epochs = np.concatenate(seen)[:44].reshape(4, 11)
    for epoch, order in enumerate(epochs):
        assert order.tolist() == sample_order.epoch_order(11, 0, epoch).tolist()
        assert set(order) == set(range(11))
    assert len({tuple(order) for order in epochs}) == 4


def test_row_does_not_depend_on_the_batch_size(shards):
    """An epoch ends within the batch: samples 9 and 10, then sample 0 of the next."""
    rows = batches.training_rows(shards, config(), 9, 3)
    for row, (epoch, position) in enumerate([(0, 9), (0, 10), (1, 0)]):
        draw = draw_sample(shards, config(), epoch, position)
        assert rows["video"][row] == draw.video
        assert rows["label"][row] == shards.labels[draw.video]
        np.testing.assert_array_equal(frame_numbers(rows["frames"][row]), draw.frames[:, 0])
        alone = batches.training_rows(shards, config(), 9 + row, 1)
        np.testing.assert_array_equal(rows["frames"][row], alone["frames"][0])


def test_epoch_order_is_the_same_everywhere():
    assert sample_order.epoch_order(10, 0, 0).tolist() == GOLDEN_ORDERS[0, 0]
    assert sample_order.epoch_order(10, 0, 1).tolist() == GOLDEN_ORDERS[0, 1]
    assert sample_order.epoch_order(10, 1, 0).tolist() == GOLDEN_ORDERS[1, 0]
    assert sorted(sample_order.epoch_order(1000, 5, 7)) == list(range(1000))
    with pytest.raises(ValueError, match="read-only"):
        sample_order.epoch_order(10, 0, 0)[0] = 1


def test_draws_depend_only_on_seed_epoch_and_position(shards):
    def draw(position, epoch=5, **changes):
        sample = draw_sample(shards, config(**changes), epoch, position)
        return sample.video, sample.label, sample.box, sample.flip, sample.frames.tolist()

    alone = draw(10)
    everything = [draw(position) for position in range(11)]
    assert everything[10] == alone
    assert [video for video, *_ in everything] == sample_order.epoch_order(11, 0, 5).tolist()
    # Neither the batch size nor the flips change the crops and snippets.
    assert draw(10, batch_size=2) == alone
    for position, (video, label, box, _, frames) in enumerate(everything):
        assert draw(position, flip=False) == (video, label, box, False, frames)
    more = [draw(position, epoch) for epoch in range(20) for position in range(11)]
    assert 70 < sum(flip for *_, flip, _ in more) < 150
    assert len({(box, str(frames)) for _, _, box, _, frames in more}) > 180


def test_other_seeds_give_other_batches(shards):
    batch, other = (training_batch(shards, config(seed=seed), 0) for seed in (0, 1))
    assert (batch["frames"] != other["frames"]).any()


def test_frames_are_cropped_resized_and_flipped(tmp_path):
    # Textured frames, so that a misplaced crop shows.
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    image = cv2.resize(image, (WIDTH, HEIGHT))
    encoded = cv2.imencode(".jpg", image)[1].tobytes()
    shards = _shards_of(tmp_path, [encoded] * 4)
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    settings = config(batch_size=1, num_segments=2)
    flips = set()
    for step in range(12):
        generator = rng_at(0, step, 0, purpose=1)
        box = augmentation.random_crop(HEIGHT, WIDTH, generator)
        flip = bool(generator.integers(2))
        flips.add(flip)
        part = decoded[box.y : box.y + box.height, box.x : box.x + box.width]
        expected = cv2.resize(np.ascontiguousarray(part), (SIZE, SIZE))
        expected = expected[:, ::-1] if flip else expected
        shown = training_batch(shards, settings, step)["frames"][0]
        # Decoding to RGB and to BGR may round differently.
        assert np.abs(shown.astype(int) - expected).max() <= 1
    assert flips == {False, True}


# Flow, and intervals.


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    directory = tmp_path_factory.mktemp("flow") / "shards"
    write_shards(directory, LENGTHS, num_shards=3, stream="temporal")
    return Shards.open(str(directory), "train")


def test_flow_snippet_holds_x_and_y_of_consecutive_fields(fields):
    settings = config(batch_size=11, stream="temporal", new_length=5, flip=False)
    batch = training_batch(fields, settings, 0)
    assert batch["frames"].shape == (11, 3, SIZE, SIZE, 10)
    for position, (video, shown) in enumerate(zip(batch["video"], batch["frames"])):
        frames = draw_sample(fields, settings, 0, position).frames
        assert frames.shape == (3, 5)
        length = int(fields.num_frames[video])
        np.testing.assert_array_equal(
            frames, sampling.snippet_frames(frames[:, 0], length, new_length=5)
        )
        expected = [field_levels(number_of(fields, video), frame) for frame in frames.ravel()]
        pixel = shown[:, SIZE // 2, SIZE // 2].reshape(15, 2).astype(int)
        assert np.abs(pixel - expected).max() <= 1


def test_flipped_flow_is_mirrored_with_x_negated(tmp_path):
    rng = np.random.default_rng(0)
    field = cv2.resize(rng.normal(0, 9, (HEIGHT // 8, WIDTH // 8, 2)), (WIDTH, HEIGHT))
    levels = flow.quantize(field)
    box = augmentation.Box(8, 4, 32, 30)
    plain, mirrored = (np.empty((SIZE, SIZE, 2), np.uint8) for _ in range(2))
    augmentation.crop_flow([levels], box, SIZE, False, plain)
    augmentation.crop_flow([levels], box, SIZE, True, mirrored)
    for channel, top in ((0, 0), (1, HEIGHT)):
        part = levels[top + 4 : top + 34, 8:40]
        resized = cv2.resize(np.ascontiguousarray(part), (SIZE, SIZE))
        np.testing.assert_array_equal(plain[..., channel], resized)
    np.testing.assert_array_equal(mirrored[..., 1], plain[:, ::-1, 1])
    x, y = (plain[:, ::-1, 0].astype(int), mirrored[..., 0].astype(int))
    np.testing.assert_array_equal(x + y, 2 * flow.ZERO)
    assert len(np.unique(x)) > 20


def test_about_half_of_the_flow_is_flipped(fields):
    settings = config(batch_size=1, stream="temporal")
    flips = {True: 0, False: 0}
    for step in range(22):
        draw = draw_sample(fields, settings, *divmod(step, 11))
        shown = training_batch(fields, settings, step)["frames"][0]
        x, y = field_levels(number_of(fields, draw.video), int(draw.frames[0, 0]))
        x = 2 * flow.ZERO - x if draw.flip else x
        assert np.abs(shown[0, 5, 5].astype(int) - [x, y]).max() <= 1
        flips[draw.flip] += 1
    assert min(flips.values()) > 3


def test_evaluation_views_of_flow(fields):
    settings = config(stream="temporal", new_length=4)
    batch = evaluation_batch(fields, settings, 0, PAPER)
    assert batch["frames"].shape == (4, 20, 3, SIZE, SIZE, 8)
    for video, shown in enumerate(batch["frames"]):
        length = int(fields.num_frames[video])
        starts = sampling.group_snippets(length, 3, 4, new_length=4)
        frames = sampling.snippet_frames(starts, length, 4)
        expected = np.array(
            [field_levels(number_of(fields, video), frame) for frame in frames.ravel()]
        ).reshape(4, 1, 3, 8)
        pixel = shown.reshape(4, 5, 3, SIZE, SIZE, 8)[:, :, :, 9, 9].astype(int)
        assert np.abs(pixel - expected).max() <= 1


def test_shards_of_the_other_stream_are_refused(shards, fields):
    message = "--stream=temporal does not fit shards of the spatial stream"
    with pytest.raises(DataError, match=message):
        pipeline.training_batches(shards, config(stream="temporal", new_length=5))
    with pytest.raises(DataError, match="--stream=spatial does not fit shards of the temporal"):
        pipeline.evaluation_batches(fields, config())
    with pytest.raises(UsageError, match="new_length=2: a snippet of the spatial stream is one"):
        config(new_length=2)


@pytest.fixture(scope="module")
def intervals(tmp_path_factory):
    """Three videos: with two intervals; without; with one, and a label that has no frames."""
    directory = tmp_path_factory.mktemp("intervals") / "shards"
    actions = [[(0, 2, 5), (2, 10, 9)], [], [(1, 0, 1), (2, 0, 0)]]
    write_shards(directory, [20, 12, 9], actions=actions, multi_label=True)
    return Shards.open(str(directory), "train")


def test_samples_are_intervals_of_videos(intervals):
    settings = config(batch_size=3)
    assert len(intervals.samples) == 3
    frames_of_label = {0: range(2, 7), 2: range(10, 19), 1: range(1)}
    for step in range(20):
        batch = training_batch(intervals, settings, step)
        assert sorted(batch["label"].tolist()) == [0, 1, 2]
        for label, video, shown in zip(batch["label"], batch["video"], batch["frames"]):
            assert number_of(intervals, video) == (2 if label == 1 else 0)
            frames = frame_numbers(shown)
            interval = frames_of_label[label]
            length = len(interval)
            edges = [interval[0] + segment * length // 3 for segment in range(4)]
            for segment, frame in enumerate(frames):
                assert frame in interval
                assert edges[segment] <= frame < max(edges[segment + 1], edges[segment] + 1)


def test_flow_snippets_stay_in_their_interval(tmp_path):
    write_shards(tmp_path / "s", [30], actions=[[(0, 8, 6)]], stream="temporal", multi_label=True)
    found = Shards.open(str(tmp_path / "s"), "train")
    settings = config(batch_size=1, stream="temporal", new_length=10)
    frames = draw_sample(found, settings, 0, 0).frames
    assert frames.tolist() == [[8, 9, 10, 11, 12, 13, 13, 13, 13, 13]] * 3


def test_clips_of_a_long_video(intervals):
    views = Protocol("clips", num_clips=4, clip_length=6, reduction="max")
    batch = evaluation_batch(intervals, config(batch_size=3), 0, views)
    assert batch["frames"].shape == (3, 4, 3, SIZE, SIZE, 3)
    for video, shown in enumerate(batch["frames"]):
        expected = sampling.clip_snippets(int(intervals.num_frames[video]), 3, 4, 6)
        np.testing.assert_array_equal(frame_numbers(shown), expected)


def test_protocols_by_name():
    assert get_protocol("center", True) == get_protocol("center", False) == CENTER
    assert get_protocol("paper", False) == PAPER
    assert get_protocol("paper", True) == CHARADES
    assert [views.num_views for views in (CENTER, PAPER, CHARADES)] == [1, 20, 10]
    assert (CHARADES.reduction, PAPER.reduction) == ("max", "mean")
    assert CHARADES.clip_length == 256
    # 20 views of 8 x 224 x 224 x 20 bytes: 160,563,200 a video, 536,870,912 at once.
    assert PAPER.videos_per_batch(24, (8, 224, 224, 20)) == 3
    assert PAPER.videos_per_batch(24, (8, 224, 224, 3)) == 22
    assert CENTER.videos_per_batch(24, (8, 224, 224, 20)) == 24
    assert PAPER.videos_per_batch(24, (12, 1024, 1024, 20)) == 1


# One evaluation batch.


def test_evaluation_batch_shows_groups_and_crops(shards):
    batch = evaluation_batch(shards, config(), 0, Protocol("ten", 2, 5))
    assert batch["frames"].shape == (4, 10, 3, SIZE, SIZE, 3)
    assert batch["video"].tolist() == [0, 1, 2, 3]
    for video, shown in enumerate(batch["frames"]):
        frames = frame_numbers(shown).reshape(2, 5, 3)
        expected = sampling.group_snippets(int(shards.num_frames[video]), 3, 2)
        np.testing.assert_array_equal(frames, np.repeat(expected[:, None], 5, axis=1))


def test_last_batch_is_padded_with_zeros(shards):
    batch = evaluation_batch(shards, config(), 2)
    assert batch["video"].tolist() == [8, 9, 10, -1]
    assert not batch["frames"][3].any()
    assert batch["frames"][:3].any(axis=(1, 2, 3, 4, 5)).all()


def test_every_frame_is_read_and_decoded_once(shards, monkeypatch):
    decoded = []
    decode = batches._decode_frame
    monkeypatch.setattr(
        batches,
        "_decode_frame",
        lambda shards, video, frame, jpegs: (
            decoded.append((video, frame)) or decode(shards, video, frame, jpegs)
        ),
    )
    evaluation_batch(shards, config(batch_size=11), 0, PAPER)
    assert len(decoded) == len(set(decoded))
    # A video of one frame: one read for its 60 snippets.
    single = shards.num_frames.tolist().index(1)
    assert [frame for video, frame in decoded if video == single] == [0]


# As a dataset.


@pytest.mark.parametrize("num_threads", [1, 2, 5, None])
def test_training_dataset_has_the_same_batches(shards, num_threads):
    dataset = pipeline.training_batches(shards, config(), 0, 5, num_threads)
    assert dataset.element_spec == {
        "frames": tf.TensorSpec((4, 3, SIZE, SIZE, 3), tf.uint8),
        "label": tf.TensorSpec((4,), tf.int32),
        "video": tf.TensorSpec((4,), tf.int64),
    }
    found = list(pipeline.iterate(dataset, shards))
    assert len(found) == 5
    for step, batch in enumerate(found):
        assert_equal(batch, training_batch(shards, config(), step))


@pytest.mark.parametrize("first_step", [1, 3, 1001])
def test_training_dataset_starts_at_any_step(shards, first_step):
    dataset = pipeline.training_batches(shards, config(), first_step)
    for step, batch in zip(range(first_step, first_step + 3), pipeline.iterate(dataset, shards)):
        assert_equal(batch, training_batch(shards, config(), step))


@pytest.mark.parametrize("batch_size", [1, 4, 11, 16])
def test_evaluation_dataset_shows_every_video_once(shards, batch_size):
    settings = config(batch_size=batch_size)
    dataset = pipeline.evaluation_batches(shards, settings, GROUPS, num_threads=2)
    assert dataset.element_spec["frames"].shape == (batch_size, 2, 3, SIZE, SIZE, 3)
    # A dataset can be iterated again.
    for _ in range(2):
        found = list(pipeline.iterate(dataset, shards))
        seen = np.concatenate([batch["video"] for batch in found])
        assert seen[:11].tolist() == list(range(11))
        assert (seen[11:] == -1).all()
        assert len(seen) == -(-11 // batch_size) * batch_size
        for step, batch in enumerate(found):
            assert_equal(batch, evaluation_batch(shards, settings, step, GROUPS))


def test_batches_are_not_overwritten_by_later_ones(shards):
    kept = list(pipeline.iterate(pipeline.training_batches(shards, config(), 0, 20), shards))
    for step, batch in enumerate(kept):
        assert_equal(batch, training_batch(shards, config(), step))


# Errors.


def _shards_of(tmp_path, jpegs, label=0, height=HEIGHT, width=WIDTH):
    """Writes shards of one video; the index may state a wrong size."""
    from tfrecords_tools.builder import shard_writer

    video = context("v0", label, len(jpegs), height, width), jpegs
    shard = shard_writer.write_shard(str(tmp_path), "train-00000-of-00001", [video])
    subsets = {"train": Subset(1, len(jpegs), 1, (shard,))}
    Manifest("folder", 0, "spatial", CLASSES, {}, subsets).save(str(tmp_path))
    return Shards.open(str(tmp_path), "train")


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_flipped_byte_raises_the_original_error(tmp_path, kind, num_threads):
    write_shards(tmp_path / "shards", [3] * 8, num_shards=1)
    frames = np.load(tmp_path / "shards" / "train-00000-of-00001.frames.npy")
    # Frame 1 of video 6.
    path = tmp_path / "shards" / "train-00000-of-00001.tfrecord"
    flip_byte(path, int(frames["offset"][19]) + 50)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    if kind == "training":
        dataset = pipeline.training_batches(shards, config(), num_threads=num_threads)
    else:
        dataset = pipeline.evaluation_batches(shards, config(), num_threads=num_threads)
    message = r"^train-00000-of-00001: video 'v6', frame 1: checksum \w+, \w+ when it was written"
    seen = []
    with pytest.raises(DataError, match=message):
        seen.extend(batch["video"] for batch in pipeline.iterate(dataset, shards))
    if kind == "evaluation":
        assert np.concatenate(seen).tolist() == [0, 1, 2, 3]
    # The same error must not be raised again by the next iteration.
    assert shards.failure is None
    flip_byte(path, int(frames["offset"][19]) + 50)
    assert next(pipeline.iterate(dataset, shards))["video"].shape == (4,)


def test_shard_truncated_while_open(tmp_path):
    write_shards(tmp_path / "shards", [3] * 4, num_shards=1)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    frames = np.load(tmp_path / "shards" / "train-00000-of-00001.frames.npy")
    os.truncate(
        tmp_path / "shards" / "train-00000-of-00001.tfrecord", int(frames["offset"][11]) + 1
    )
    dataset = pipeline.evaluation_batches(shards, config())
    with pytest.raises(DataError, match=r"video 'v3', frame 2: 1 of \d+ bytes left"):
        next(pipeline.iterate(dataset, shards))


def test_errors_of_tensorflow_are_kept(shards):
    def refuse(batch):
        tf.debugging.assert_less(batch["label"], -1, message="not ours")
        return batch

    dataset = pipeline.training_batches(shards, config(), num_steps=3).map(refuse)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not ours"):
        next(pipeline.iterate(dataset, shards))


@pytest.mark.parametrize(
    ("jpegs", "height", "message"),
    [
        ([jpeg(0, 0)] * 2, HEIGHT + 2, "40x48 pixels, the index says 42x48"),
        ([b"no JPEG at all"] * 2, HEIGHT, "no image, the index says 40x48"),
    ],
)
def test_frames_that_contradict_the_index_are_refused(tmp_path, jpegs, height, message):
    shards = _shards_of(tmp_path, jpegs, height=height)
    with pytest.raises(DataError, match=f"train-00000-of-00001: video 'v0', frame 0: {message}"):
        training_batch(shards, config(batch_size=1), 0)


def test_batch_larger_than_an_epoch_is_refused(shards):
    with pytest.raises(UsageError, match="batch_size=12: must be from 1 to the 11 samples"):
        pipeline.training_batches(shards, config(batch_size=12))


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 0},
        {"num_segments": 0},
        {"image_size": -1},
        {"new_length": 0},
        {"seed": -1},
        {"crop_scales": ()},
        {"crop_scales": (1.0, 1.5)},
    ],
)
def test_numbers_out_of_range_are_refused(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        config(**change)
    assert dataclasses.replace(config(), seed=3).seed == 3


# Two replicas.

_REPLICAS = """
    import sys

    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    from rlstm_tf.distributed.strategy import distribute_batches, make_strategy
    from rlstm_tf.data import batches, pipeline, protocols
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.errors import DataError, UsageError

    shards = Shards.open(sys.argv[1], "train")
    config = pipeline.InputConfig(batch_size=4, num_segments=3, image_size=32)
    strategy = make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2

    def compare(make_dataset, expected):
        count = 0
        distributed = distribute_batches(strategy, make_dataset)
        for batch, plain in zip(pipeline.iterate(distributed, shards), expected):
            for name in plain:
                slices = strategy.experimental_local_results(batch[name])
                assert [each.shape for each in slices] == [(2, *plain[name].shape[1:])] * 2
                np.testing.assert_array_equal(np.concatenate(slices), plain[name])
            count += 1
        return count

    # 11 samples: the last of these batches crosses the end of an epoch.
    plain = (batches.training_rows(shards, config, 4 * step, 4) for step in range(1, 5))
    assert compare(
        lambda replicas: pipeline.training_batches(shards, config, 1, 4, replicas=replicas), plain
    ) == 4
    groups = protocols.Protocol("groups", num_groups=2)
    examples = [batches.evaluation_example(shards, config, place, groups) for place in range(12)]
    plain = [
        {name: np.stack([example[name] for example in examples[first : first + 4]])
         for name in examples[0]}
        for first in (0, 4, 8)
    ]
    assert compare(
        lambda replicas: pipeline.evaluation_batches(shards, config, groups, replicas=replicas),
        plain,
    ) == 3

    uneven = pipeline.InputConfig(batch_size=5, num_segments=3, image_size=32)
    for make in (pipeline.training_batches, pipeline.evaluation_batches):
        try:
            distribute_batches(strategy, lambda replicas: make(shards, uneven, replicas=replicas))
        except UsageError as error:
            print("uneven", error)
    broken = Shards.open(sys.argv[2], "train")
    distributed = distribute_batches(
        strategy, lambda replicas: pipeline.training_batches(broken, config, replicas=replicas)
    )
    try:
        for batch in pipeline.iterate(distributed, broken):
            pass
    except DataError as error:
        print("refused", error)
    # An endless dataset that is still running must not change the exit status.
    endless = distribute_batches(
        strategy, lambda replicas: pipeline.training_batches(shards, config, replicas=replicas)
    )
    endless = pipeline.iterate(endless, shards)
    next(endless)
    sys.exit(7)
"""


def test_two_replicas_share_the_same_batches(tmp_path):
    for name in ("intact", "broken"):
        write_shards(tmp_path / name, LENGTHS)
    frames = np.load(tmp_path / "broken" / "train-00000-of-00002.frames.npy")
    offset = int(frames["offset"][0]) + 50
    flip_byte(tmp_path / "broken" / "train-00000-of-00002.tfrecord", offset)
    # Logical devices must be set before TensorFlow starts: in its own process.
    result = warm_python.run(
        ["-c", textwrap.dedent(_REPLICAS), tmp_path / "intact", tmp_path / "broken"]
    )
    assert result.returncode == 7, result.stdout
    assert "refused train-00000-of-00002: video 'v0', frame 0: checksum" in result.stdout
    assert result.stdout.count("uneven batch_size=5 is not a multiple of 2 replicas") == 2


def test_draws_do_not_depend_on_the_stack(shards):
    """Compares orders, crops and snippets; the pixels depend on the JPEG decoder's version."""
    digest = hashlib.sha256()
    for epoch in range(3):
        digest.update(sample_order.epoch_order(1000, 42, epoch).tobytes())
        for position in range(50):
            generator = rng_at(42, epoch, position, purpose=1)
            box = augmentation.random_crop(256, 340, generator)
            flip = generator.integers(2)
            starts = sampling.random_snippets(100 + position, 8, generator)
            digest.update(np.array([*box, flip, *starts], np.int64).tobytes())
    assert digest.hexdigest() == GOLDEN_DRAWS

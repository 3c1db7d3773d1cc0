"""Color jitter, random erasing and mixup: one change for a whole clip, as NumPy computes it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small_shards import texture_jpeg, write_shards

from rlstm_tf.data import augmentation, batches, device_augmentation, flow, pipeline
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.sample_draw import draw_sample
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError

SIDE = 32
PLAIN = InputConfig(4, num_segments=3, image_size=SIDE, seed=5)
ALL_ON = dataclasses.replace(PLAIN, color_jitter=0.4, random_erasing=0.6, mixup=0.3)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clips") / "shards"
    write_shards(directory, [6, 9, 5, 7, 8, 3], image=texture_jpeg)
    return Shards.open(str(directory), "train")


def blend(x, other, factor):
    return factor * x + (1 - factor) * other


def changed(frames, brightness, contrast, saturation):
    """One change after the other, as libraries of images define them, for frames [..., 3]."""
    x = blend(np.asarray(frames, np.float64), 0.0, brightness)
    x = blend(x, 127.5, contrast)
    gray = 0.299 * x[..., :1] + 0.587 * x[..., 1:2] + 0.114 * x[..., 2:]
    return np.clip(blend(x, gray, saturation), 0, 255)


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


FACTORS = [(1.3, 1, 1), (1, 0.6, 1), (1, 1, 1.4), (1, 1, 0), (0, 1, 1), (0.7, 1.4, 0.6), (2, 2, 2)]


@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_colors_change_as_in_numpy(factors):
    frames = noise(2, 5, 7, 3)
    expected = changed(frames, *factors)
    colors = augmentation.color_map(*factors)
    host = frames.copy()
    augmentation.change_colors(host, colors)
    device = device_augmentation.change_colors(frames[None], tf.constant(colors[None]))[0]
    for found in (host, np.asarray(device)):
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 1.5
        assert np.abs(found - expected).mean() < 0.5


def test_factors_of_one_change_nothing():
    frames = noise(2, 5, 7, 3)
    found = frames.copy()
    augmentation.change_colors(found, augmentation.color_map(1, 1, 1))
    np.testing.assert_array_equal(found, frames)


def test_grays_stay_gray():
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 16, 16, 3)
    augmentation.change_colors(grays, augmentation.color_map(0.8, 1.3, 1.7))
    assert np.ptp(grays.astype(int), axis=-1).max() <= 1


def test_factors_fill_their_range():
    """Of gray, brightness and contrast show; of the map's rows, saturation."""
    rng = np.random.default_rng(0)
    maps = np.array([augmentation.random_colors(rng, 0.4) for _ in range(2000)], np.float64)
    contrast = 1 - maps[:, 0, 3] / 127.5
    brightness = maps[:, 0, :3].sum(axis=1) / contrast
    saturation = (maps[:, 0, 0] - maps[:, 1, 0]) / (brightness * contrast)
    for factors in (brightness, contrast, saturation):
        assert 0.6 - 1e-5 <= factors.min() < 0.605
        assert 1.395 < factors.max() <= 1.4 + 1e-5
        assert abs(factors.mean() - 1) < 0.02
    assert np.abs(np.corrcoef([brightness, contrast, saturation]) - np.eye(3)).max() < 0.07


@pytest.mark.parametrize("side", [1, 2, 32, 224])
def test_rectangles_lie_inside(side):
    rng = np.random.default_rng(0)
    boxes = np.array([augmentation.random_rectangle(side, rng) for _ in range(2000)])
    x, y, width, height = boxes.T
    assert min(width.min(), height.min()) >= 1
    assert min(x.min(), y.min()) == 0
    assert max((x + width).max(), (y + height).max()) == side
    if side == 224:
        area, ratio = width * height / side**2, height / width
        assert 0.018 < area.min() < 0.03
        assert 0.29 < area.max() < 0.31
        assert 0.28 < ratio.min() < 0.35
        assert 2.9 < ratio.max() < 3.6
        assert abs(np.log(ratio).mean()) < 0.05


@pytest.mark.parametrize("jit", [False, True])
def test_erased_pixels(jit):
    boxes = np.array([(3, 5, 10, 2), (0, 0, 8, 8), (7, 0, 1, 8), (2, 2, 0, 0)], np.int32)
    frames = noise(4, 3, 8, 8, 6)
    expected = frames.copy()
    for row, (x, y, width, height) in enumerate(boxes):
        for i in range(y, min(8, y + height)):
            for j in range(x, min(8, x + width)):
                expected[row, :, i, j] = flow.ZERO
    host = frames.copy()
    for clip, box in zip(host, boxes.tolist()):
        augmentation.erase(clip, Box(*box))
    function = tf.function(device_augmentation.erase, jit_compile=jit)
    device = function(tf.constant(frames), tf.constant(boxes))
    np.testing.assert_array_equal(host, expected)
    np.testing.assert_array_equal(device, expected)


def test_a_clip_is_changed_as_a_whole(shards):
    """Every frame of a clip has one change, that of its seed, epoch and position alone."""
    found, plain = (batches.training_rows(shards, config, 0, 12) for config in (ALL_ON, PLAIN))
    erased = 0
    for row in range(12):
        draw = draw_sample(shards, ALL_ON, *divmod(row, len(shards.samples)))
        x, y, width, height = draw.erased
        inside = np.zeros((SIDE, SIDE), bool)
        inside[y : y + height, x : x + width] = True
        erased += inside.any()
        pixels = np.concatenate([plain["frames"][row], np.ones((3, SIDE, SIDE, 1))], axis=-1)
        changed_pixels = np.clip(pixels @ draw.colors.T.astype(np.float64), 0, 255)
        expected = np.where(inside[None, :, :, None], 128, changed_pixels)
        assert np.abs(found["frames"][row] - expected).max() <= 1.5
        assert (found["frames"][row][:, inside] == 128).all()
    # 7 expected, standard deviation 1.7.
    assert 3 <= erased <= 11
    later = batches.training_rows(shards, ALL_ON, 5, 4)
    for name in found:
        np.testing.assert_array_equal(later[name], found[name][5:9])


def test_no_option_changes_what_another_draws(shards):
    draws = [
        draw_sample(shards, dataclasses.replace(PLAIN, **options), 2, 3)
        for options in (
            {},
            {"color_jitter": 0.4},
            {"random_erasing": 1.0},
            {"mixup": 0.3},
            {"color_jitter": 0.4, "random_erasing": 1.0, "mixup": 0.3},
        )
    ]
    *_, together = draws
    for draw in draws:
        assert draw[:4] == together[:4]
        np.testing.assert_array_equal(draw.frames, together.frames)
    np.testing.assert_array_equal(draws[1].colors, together.colors)
    assert (draws[2].erased, draws[3].share) == (together.erased, together.share)
    assert (draws[0].colors, draws[0].erased, draws[0].share) == (None, (0, 0, 0, 0), 1.0)


def test_off_adds_nothing(shards):
    for where, more in (("host", set()), ("device", {"box", "flip"})):
        config = dataclasses.replace(PLAIN, augment_on=where)
        batch = batches.training_rows(shards, config, 0, 2)
        assert set(batch) == {"frames", "label", "video"} | more
    batch = batches.training_rows(shards, PLAIN, 0, 2)
    assert device_augmentation.make_preprocess(PLAIN)(batch) is batch["frames"]


def test_dataset_of_either_place(shards):
    """Same colors, rectangles and shares; the crops differ by a level, which colors enlarge."""
    made = []
    for where in ("host", "device"):
        config = dataclasses.replace(ALL_ON, augment_on=where)
        preprocess = device_augmentation.make_preprocess(config)
        dataset = pipeline.training_batches(shards, config, 1, 2)
        made.append([preprocess(batch) for batch in pipeline.iterate(dataset, shards)])
    for host, device in zip(*made):
        difference = np.abs(np.asarray(host, int) - np.asarray(device, int))
        assert difference.max() <= 4
        assert difference.mean() < 0.5


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_rows_are_mixed_in_pairs(dtype, jit):
    rng = np.random.default_rng(0)
    # Frames, or maps of a trunk.
    x = rng.integers(0, 256, (6, 2, 3, 3, 4)) if dtype == "uint8" else rng.normal(size=(6, 2, 3, 5))
    x = x.astype(dtype)
    shares = np.array([0.3, 1, 0, 0.5, 0.999, 0.2], np.float32)
    function = tf.function(device_augmentation.mix, jit_compile=jit)
    found = np.asarray(function(tf.constant(x), tf.constant(shares)))
    assert found.dtype == dtype
    wide = x.astype(np.float64)
    for row, other in ((0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)):
        expected = shares[row] * wide[row] + (1 - float(shares[row])) * wide[other]
        tolerance = {"uint8": 0.501, "float16": 2e-3, "float32": 1e-6}[dtype]
        np.testing.assert_allclose(found[row], expected, atol=tolerance)
    np.testing.assert_array_equal(found[1], x[1])
    np.testing.assert_array_equal(found[2], x[3])


def test_two_micro_batches_mix_the_same_pairs():
    x, shares = tf.constant(noise(8, 2, 3, 3, 3)), tf.constant(np.linspace(0, 1, 8, dtype="f"))
    whole = device_augmentation.mix(x, shares)
    parts = [device_augmentation.mix(x[i : i + 4], shares[i : i + 4]) for i in (0, 4)]
    np.testing.assert_array_equal(tf.concat(parts, 0), whole)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(shards, alpha):
    config = dataclasses.replace(PLAIN, mixup=alpha)
    shares = [draw_sample(shards, config, e, p).share for e in range(250) for p in range(6)]
    assert 0 <= min(shares) <= max(shares) <= 1
    deviation = 1 / np.sqrt(4 * (2 * alpha + 1))
    assert abs(np.mean(shares) - 0.5) < 4 * deviation / np.sqrt(1500)
    assert np.std(shares) == pytest.approx(deviation, rel=0.08)


@pytest.mark.parametrize("alpha", [1e-3, 1e3])
def test_extreme_alphas_give_numbers(shards, alpha):
    config = dataclasses.replace(PLAIN, mixup=alpha)
    shares = [draw_sample(shards, config, e, 0).share for e in range(200)]
    assert all(0 <= share <= 1 for share in shares)


def test_flow_is_erased_and_mixed_but_has_no_colors(tmp_path):
    write_shards(tmp_path / "flow", [6, 9, 5, 7], stream="temporal")
    shards = Shards.open(str(tmp_path / "flow"), "train")
    config = InputConfig(4, 2, SIDE, stream="temporal", new_length=2, random_erasing=1.0, mixup=1.0)
    made = {}
    for where in ("host", "device"):
        own = dataclasses.replace(config, augment_on=where)
        batch = batches.training_rows(shards, own, 0, 4)
        made[where] = np.asarray(device_augmentation.make_preprocess(own)(batch))
    # Fields of one motion: the crops of both places are equal.
    np.testing.assert_array_equal(made["host"], made["device"])
    x, y, width, height = draw_sample(shards, config, 0, 2).erased
    frames = batches.training_rows(shards, config, 2, 1)["frames"][0]
    assert (frames[:, y : y + height, x : x + width] == flow.ZERO).all()
    assert (frames != flow.ZERO).any()
    with pytest.raises(UsageError, match="flow has no colors"):
        dataclasses.replace(config, color_jitter=0.4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color_jitter": 1.1}, "color_jitter=1.1 must be from 0 to 1"),
        ({"random_erasing": -0.1}, "random_erasing=-0.1 must be from 0 to 1"),
        ({"random_erasing": float("nan")}, "random_erasing=nan must be from 0 to 1"),
        ({"mixup": float("nan")}, "mixup=nan must be 0, or from 0.001 to 1000"),
        ({"mixup": 1e-9}, "mixup=1e-09 must be 0, or from 0.001 to 1000"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        InputConfig(2, **options)

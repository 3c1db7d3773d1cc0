import cv2
import numpy as np
import pytest

from rlstm_tf.data import augmentation
from rlstm_tf.data.augmentation import Box

HEIGHT, WIDTH = 256, 340


def test_crop_sizes_of_a_340x256_frame():
    assert list(augmentation.crop_sizes(HEIGHT, WIDTH)) == [
        *[(256, 256), (224, 256)],
        *[(256, 224), (224, 224), (192, 224)],
        *[(224, 192), (192, 192), (168, 192)],
        *[(192, 168), (168, 168)],
    ]


@pytest.mark.parametrize(
    ("shape", "sides"),
    [((240, 320), [240, 210, 180, 158]), ((100, 64), [64, 56, 48, 42]), ((1, 1), [1, 1, 1, 1])],
)
def test_crop_sizes_are_rounded_down(shape, sides):
    squares = [(w, h) for w, h in augmentation.crop_sizes(*shape) if w == h]
    assert sorted(set(squares)) == sorted({(side, side) for side in sides})


def test_positions_of_a_square_crop():
    boxes = augmentation.crop_positions(HEIGHT, WIDTH, 224, 224)
    assert [(box.x, box.y) for box in boxes] == [
        *[(0, 0), (116, 0), (0, 32), (116, 32)],
        (58, 16),
        *[(0, 16), (116, 16), (58, 0), (58, 32)],
        *[(29, 8), (87, 8), (29, 24), (87, 24)],
    ]
    assert {(box.width, box.height) for box in boxes} == {(224, 224)}


def test_positions_of_a_rectangular_crop():
    # Free space: 172 pixels across, 64 down.
    boxes = augmentation.crop_positions(HEIGHT, WIDTH, crop_height=192, crop_width=168)
    assert [(box.x, box.y) for box in boxes] == [
        *[(0, 0), (172, 0), (0, 64), (172, 64)],
        (86, 32),
        *[(0, 32), (172, 32), (86, 0), (86, 64)],
        *[(43, 16), (129, 16), (43, 48), (129, 48)],
    ]


def test_corner_crops_touch_the_edges_if_the_free_space_does_not_divide_by_four():
    boxes = augmentation.crop_positions(241, 323, 224, 224)
    assert boxes[:4] == [
        Box(0, 0, 224, 224),
        Box(99, 0, 224, 224),
        Box(0, 17, 224, 224),
        Box(99, 17, 224, 224),
    ]
    assert boxes[4] == Box(49, 8, 224, 224)


def test_random_crops_have_every_size_and_position():
    rng = np.random.default_rng(0)
    draws = [augmentation.random_crop(HEIGHT, WIDTH, rng) for _ in range(6000)]
    sizes = [(box.width, box.height) for box in draws]
    allowed = augmentation.crop_sizes(HEIGHT, WIDTH)
    assert set(sizes) == set(allowed)
    # 600 expected each, standard deviation 23.
    assert all(480 < sizes.count(size) < 720 for size in allowed)
    positions = {(box.x, box.y) for box in draws if (box.width, box.height) == (224, 224)}
    assert positions == {box[:2] for box in augmentation.crop_positions(HEIGHT, WIDTH, 224, 224)}


def test_single_scale_gives_only_square_crops():
    assert augmentation.crop_sizes(HEIGHT, WIDTH, [0.875]) == ((224, 224),)


def test_evaluation_crops():
    center = Box(58, 16, 224, 224)
    assert augmentation.evaluation_crops(HEIGHT, WIDTH, 224) == [center]
    assert augmentation.evaluation_crops(HEIGHT, WIDTH, 224, 5) == [
        Box(0, 0, 224, 224),
        Box(116, 0, 224, 224),
        Box(0, 32, 224, 224),
        Box(116, 32, 224, 224),
        center,
    ]
    # The frame is smaller than the crop.
    assert augmentation.evaluation_crops(120, 160, 224) == [Box(20, 0, 120, 120)]
    with pytest.raises(ValueError, match="Received: 3"):
        augmentation.evaluation_crops(HEIGHT, WIDTH, 224, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("side", [224, 168])
def test_crop_and_resize_equals_opencv_on_each_channel(channels, side):
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    box = Box(7, 5, side, 192)
    expected = np.stack(
        [
            cv2.resize(np.ascontiguousarray(image[5:197, 7 : 7 + side, c]), (224, 224))
            for c in range(channels)
        ],
        axis=-1,
    )
    # OpenCV's code for 3 and 4 channels may round differently.
    plain = augmentation.crop_and_resize(image, box, 224).astype(int)
    assert np.abs(plain - expected).max() <= 1
    batch = np.zeros((3, 224, 224, channels), np.uint8)
    flipped = augmentation.crop_and_resize(image, box, 224, flip=True, out=batch[1])
    assert np.shares_memory(flipped, batch)
    np.testing.assert_array_equal(batch[1], plain[:, ::-1])
    assert not batch[0].any()
    assert not batch[2].any()


def test_crop_of_the_output_size_is_not_resampled():
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    cut = augmentation.crop_and_resize(image, Box(10, 20, 64, 64), 64)
    np.testing.assert_array_equal(cut, image[20:84, 10:74])

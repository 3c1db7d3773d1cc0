"""Images for TensorBoard, compared pixel by pixel."""

import dataclasses

import numpy as np
import pytest
from small_shards import CLASSES, texture_jpeg, write_shards
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow import io, make_ndarray

from rlstm_tf.data import flow
from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.data.batches import evaluation_example, training_rows
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.evaluation.metrics import video_losses
from rlstm_tf.summaries import confusion, drawing
from rlstm_tf.summaries.events import Events
from rlstm_tf.summaries.pictures import AugmentedBatch, Errors, draw_errors, worst_videos
from rlstm_tf.training.state import TrainState

HOSTILE = [
    "<script>alert(1)</script>",
    "走る",
    "",
    "é" * 500,
    "\x00\n\t\u202e[x](y)",
    "%s{0}\\",
    "🙂",
]
SIDE = 32
CONFIG = InputConfig(2, num_segments=3, image_size=SIDE)


class Scored:
    """A finished validation."""

    def __init__(self, shards, logits):
        self.shards, self.logits = shards, np.asarray(logits, np.float32)


@pytest.fixture
def spatial(tmp_path):
    write_shards(tmp_path / "spatial", [6, 9, 5, 7, 8], image=texture_jpeg)
    return Shards.open(str(tmp_path / "spatial"), "train")


@pytest.fixture
def temporal(tmp_path):
    write_shards(tmp_path / "temporal", [6, 9, 5, 7, 8], stream="temporal")
    return Shards.open(str(tmp_path / "temporal"), "train")


def images_of(directory):
    """Returns (step, pixels) of each image, by tag."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [(e.step, io.decode_png(make_ndarray(e.tensor_proto)[2]).numpy()) for e in found]
        for tag in events.Tags()["tensors"]
        for found in [events.Tensors(tag)]
    }


def written(tmp_path, make, epoch, step):
    """Returns the images that a callback writes at the end of an epoch."""
    events = Events(
        tmp_path / "events", EpochSchedule(5, 2), TrainState(step=step, epoch=epoch + 1)
    )
    make(events).on_epoch_end(epoch)
    events.close()
    return images_of(tmp_path / "events")


def test_augmented_batch(spatial, tmp_path):
    # Epochs of 5 samples in batches of 2 end after 3 and 5 steps: the second starts at sample 6.
    epochs = EpochSchedule(5, 2)
    found = written(tmp_path, lambda events: AugmentedBatch(events, epochs, spatial, CONFIG), 1, 5)
    ((step, image),) = found["images/augmented_batch"]
    assert step == 5
    rows = training_rows(spatial, CONFIG, 6, 2)["frames"]
    top = 0
    for row in rows:
        top += 4 + drawing.LINE + 4
        # 32 pixels are enlarged to 96: each becomes 3 x 3.
        shown = image[top : top + 3 * SIDE, 4 : 4 + 9 * SIDE]
        for dy, dx in ((0, 0), (1, 2), (2, 2)):
            np.testing.assert_array_equal(shown[dy::3, dx::3], np.concatenate(row, axis=1))
        assert (image[top - drawing.LINE - 4 : top] < 100).any(), "there is a caption"
        top += 3 * SIDE
    assert image.shape == (top + 4, 9 * SIDE + 8, 3)


def test_augmented_batch_of_mixed_videos(spatial, tmp_path):
    """The picture has what the network gets; captions name both videos and their shares."""
    config = dataclasses.replace(CONFIG, color_jitter=0.4, random_erasing=1.0, mixup=1.0)
    epochs = EpochSchedule(5, 2)
    callback = AugmentedBatch(None, epochs, spatial, config)
    rows = training_rows(spatial, config, 0, 2)
    names = [
        f"{CLASSES[label]}: {spatial.ids[v]}" for v, label in zip(rows["video"], rows["label"])
    ]
    (a, b), (first, second) = rows["share"], callback._captions(rows)
    assert first == f"{a:.2f} {names[0]} + {1 - a:.2f} {names[1]}"
    assert second == f"{b:.2f} {names[1]} + {1 - b:.2f} {names[0]}"
    found = written(tmp_path, lambda events: AugmentedBatch(events, epochs, spatial, config), 0, 3)
    ((_, image),) = found["images/augmented_batch"]
    one, other = rows["frames"].astype(float)
    expected = np.concatenate(a * one + (1 - a) * other, axis=1)
    top = 4 + drawing.LINE + 4
    shown = image[top : top + 3 * SIDE : 3, 4 : 4 + 9 * SIDE : 3]
    assert np.abs(shown - expected).max() <= 0.501


def test_augmented_batch_of_flow(temporal, tmp_path):
    config = InputConfig(2, 2, SIDE, stream="temporal", new_length=2, flip=False)
    epochs = EpochSchedule(5, 2)
    found = written(tmp_path, lambda events: AugmentedBatch(events, epochs, temporal, config), 0, 3)
    ((_, image),) = found["images/augmented_batch"]
    rows = training_rows(temporal, config, 0, 2)["frames"]
    expected = np.concatenate(drawing.to_rgb(rows)[0], axis=1)
    top = 4 + drawing.LINE + 4
    shown = image[top : top + 3 * SIDE : 3, 4 : 4 + 6 * SIDE : 3]
    np.testing.assert_array_equal(shown, expected)


def test_colors_of_flow():
    def color(x, y, longest=20.0):
        field = np.zeros((1, 2, 2), np.float32)
        field[0, 0], field[0, 1, 0] = (x, y), longest
        levels = flow.quantize(field).reshape(2, 1, 2).transpose(1, 2, 0)
        # The other fields of the snippet have no effect.
        snippet = np.concatenate([levels, np.full_like(levels, 77)], axis=-1)
        return drawing.to_rgb(snippet[None])[0, 0, 0].tolist()

    assert color(20, 0) == [255, 0, 0]
    assert color(-20, 0) == [0, 255, 255]
    down, up = color(0, 20), color(0, -20)
    assert down == [128, 255, 0] or down == [127, 255, 0]
    assert up == [128, 0, 255] or up == [127, 0, 255]
    assert color(0, 0) == [255, 255, 255]
    half = color(10, 0)
    assert half[0] == 255
    assert half[1] == half[2] == pytest.approx(128, abs=2)
    # Small motion is pale, even if nothing moves more.
    assert color(0.3, 0, longest=0.3)[1] > 180


def test_rgb_is_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(drawing.to_rgb(image), image)


def test_worst_errors(spatial, tmp_path):
    """Writes labels 0, 1, 2, 0, 1; the shards hold the even positions first."""
    assert spatial.labels.tolist() == [0, 2, 1, 1, 0]
    logits = np.zeros((5, 3), np.float32)
    logits[np.arange(5), spatial.labels] = [3, -5, 1, -2, 9]
    assert worst_videos(spatial.labels, logits).tolist() == [1, 3, 2, 0, 4]
    found = written(tmp_path, lambda e: Errors(e, Scored(spatial, logits), CONFIG), 0, 3)
    ((step, image),) = found["images/worst_errors"]
    assert step == 3
    strip, side = 3 * drawing.LINE + 4, 192
    for place, video in enumerate((1, 3, 2, 0, 4)):
        row, column = divmod(place, 4)
        top, left = 4 + row * (strip + side + 4), 4 + column * (side + 4)
        middle = evaluation_example(spatial, CONFIG, video)["frames"][0, 1]
        shown = image[top + strip : top + strip + side : 6, left : left + side : 6]
        np.testing.assert_array_equal(shown, middle)
        # The prediction is red if wrong, else green.
        words = image[top + 2 * drawing.LINE : top + strip, left : left + side].astype(int)
        red, green = (words[..., 0] - words[..., 1]).max(), (words[..., 1] - words[..., 0]).max()
        assert (red > 60, green > 60) == (
            (True, False) if logits[video].max() == 0 else (False, True)
        )
    assert image.shape == (4 + 2 * (strip + side + 4), 4 + 4 * (side + 4), 3)


def test_video_losses():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(video_losses(np.array([0, 2, 2]), logits), -np.log([0.5, 0.1, 0.6]))
    several = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], bool)
    found = video_losses(several, logits)
    np.testing.assert_allclose(found[[0, 2]], -np.log([np.sqrt(0.125), 0.6]))
    assert np.isnan(found[1])
    assert worst_videos(several, logits).tolist() == [0, 2]


def test_several_labels_have_no_confusion_matrix(tmp_path):
    actions = [[(0, 0, 3), (2, 1, 4)], [(1, 0, 2)], [(1, 0, 5)]]
    write_shards(tmp_path / "s", [6, 7, 5], actions=actions, multi_label=True)
    shards = Shards.open(str(tmp_path / "s"), "train")
    found = written(tmp_path, lambda e: Errors(e, Scored(shards, np.zeros((3, 3))), CONFIG), 0, 3)
    assert list(found) == ["images/worst_errors"]


def test_videos_without_labels_have_no_images(spatial, tmp_path):
    spatial.labels = np.zeros((5, 3), bool)
    scored = Scored(spatial, np.zeros((5, 3)))
    assert written(tmp_path, lambda e: Errors(e, scored, CONFIG), 0, 3) == {}


def test_confusion_matrix_colors():
    """Checks corners of cells: blue is right, red wrong, darker more, gray without videos."""
    counts = np.array([[30, 10, 0], [0, 0, 0], [0, 0, 7]])
    size = confusion.cell_size(3)
    image = confusion.draw(counts, ["a", "b", "c"])
    cells = image[-3 * size :, -3 * size :]
    np.testing.assert_array_equal(cells, confusion.cells(counts, size))
    at = cells[3::size, 3::size].astype(int)
    assert at.shape == (3, 3, 3)
    assert at[0, 2].tolist() == at[2, 0].tolist() == at[2, 1].tolist() == [255, 255, 255]
    assert at[2, 2].tolist() == [8, 48, 107]
    right, wrong = at[0, 0], at[0, 1]
    np.testing.assert_allclose(right, 255 + np.sqrt(0.75) * (np.array([8, 48, 107]) - 255), atol=1)
    np.testing.assert_allclose(wrong, 255 + np.sqrt(0.25) * (np.array([165, 15, 21]) - 255), atol=1)
    assert len({tuple(cell) for cell in at[1]}) == 1
    assert at[1, 0].tolist() == [214, 214, 214]


@pytest.mark.parametrize("classes", [1, 2, 51, 101, 157, 400, 1000])
def test_confusion_matrix_of_any_number_of_classes(classes):
    counts = np.eye(classes, dtype=int) * 3
    size = confusion.cell_size(classes)
    image = confusion.draw(counts, [f"class {k}" for k in range(classes)])
    assert classes * size <= max(image.shape) <= 1500
    assert (size >= 10) == (classes <= 101), "there are names"
    # Away from the lines, correct cells are blue.
    middle = image[-classes * size :, -classes * size :][size // 4 :: size, size // 4 :: size]
    assert (np.diagonal(middle)[2] > np.diagonal(middle)[0] + 90).all()


def test_too_many_classes_for_a_matrix(tmp_path, spatial):
    """The matrix has at most a million cells."""
    spatial.classes = [f"c{k}" for k in range(confusion.MAX_CLASSES + 1)]
    logits = np.zeros((5, len(spatial.classes)))
    found = written(tmp_path, lambda e: Errors(e, Scored(spatial, logits), CONFIG), 0, 3)
    assert list(found) == ["images/worst_errors"]


def test_any_name_can_be_drawn(spatial):
    texts = [drawing.to_ascii(name) for name in HOSTILE]
    assert all(all(" " <= letter <= "~" for letter in text) for text in texts)
    assert texts[3] == "e" * 500
    assert texts[1] == "??"
    for text in texts:
        assert drawing.text_width(drawing.shorten(text, 60)) <= 60
    assert drawing.shorten("abc", 60) == "abc"
    assert drawing.shorten("a" * 100, 60).endswith("a..")
    assert drawing.shorten("abc", 1) == ""
    counts = np.eye(len(HOSTILE), dtype=int)
    assert confusion.draw(counts, HOSTILE).dtype == np.uint8
    spatial.classes, spatial.ids = HOSTILE[:3], [*HOSTILE[2:5], "../" * 90, "a/"]
    config = InputConfig(2, num_segments=1, image_size=SIDE)
    videos = np.arange(5)
    plain = draw_errors(spatial, config, np.zeros((5, 3)), videos)
    assert plain.shape == (4 + 2 * (3 * drawing.LINE + 4 + 192 + 4), 4 + 4 * 196, 3)

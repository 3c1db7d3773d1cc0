"""What the model sees, and what it takes for something else, as images of every epoch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.data.batches import evaluation_example, training_rows
from rlstm_tf.data.device_augmentation import make_preprocess
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.evaluation.metrics import confusion_matrix, video_losses
from rlstm_tf.summaries import confusion, drawing
from rlstm_tf.summaries.drawing import BLACK, GREEN, RED, Line
from rlstm_tf.summaries.events import Events
from rlstm_tf.training.validation import Validation

_ROWS = 4  # videos shown of a batch
_WORST, _COLUMNS = 8, 4  # videos shown of the worst, side by side
_SMALLEST, _WORST_SIDE = 96, 192  # sides to which small frames are enlarged, pixels
_DESCRIPTIONS = {
    "augmented_batch": "The first videos of the epoch as the network was given them: cropped, "
    "mirrored, a row a video and a column a segment.",
    "worst_errors": "The validation videos with the highest loss, the highest first: the middle "
    "segment. Under its name what it is, then what it was taken for and how surely.",
    "confusion_matrix": confusion.DESCRIPTION,
}


class AugmentedBatch(keras.callbacks.Callback):
    """The first videos of every epoch, made again as the training saw them.

    Args:
        events: where the image goes.
        epochs: where they end.
        shards: what is trained on.
        config: of the batches.
    """

    def __init__(
        self, events: Events, epochs: EpochSchedule, shards: Shards, config: InputConfig
    ) -> None:
        super().__init__()
        self.events, self.epochs = events, epochs
        self.shards, self.config = shards, config

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the image."""
        first = self.epochs.end_step(epoch - 1) * self.config.batch_size
        count = min(_ROWS, self.config.batch_size)
        rows = training_rows(self.shards, self.config, first, count)
        images = []
        snippets = drawing.rgb(np.asarray(make_preprocess(self.config)(rows)))
        for video, label, segments in zip(rows["video"], rows["label"], snippets):
            side_by_side = drawing.enlarged(np.concatenate(segments, axis=1), _SMALLEST)
            text = f"{self.shards.classes[label]}: {self.shards.ids[video]}"
            images.append(drawing.captioned(side_by_side, [(text, BLACK)]))
        _write(self.events, "augmented_batch", drawing.tiled(images, columns=1))


class Errors(keras.callbacks.Callback):
    """The worst errors of every validation and, where a video has one label, what is confused.

    Args:
        events: where the images go.
        validation: of the run, in which it comes before the end of every epoch.
        config: of the frames.
    """

    def __init__(self, events: Events, validation: Validation, config: InputConfig) -> None:
        super().__init__()
        self.events, self.validation, self.config = events, validation, config

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the images."""
        shards, logits = self.validation.shards, self.validation.logits
        if len(worst := worst_videos(shards.labels, logits)):
            _write(self.events, "worst_errors", draw_errors(shards, self.config, logits, worst))
        if shards.labels.ndim == 1 and len(shards.classes) <= confusion.MOST_CLASSES:
            counts = confusion_matrix(shards.labels, logits)
            _write(self.events, "confusion_matrix", confusion.draw(counts, shards.classes))


def worst_videos(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Positions of the videos with the highest loss, the highest first; of those with a label.

    Args:
        labels: `[V]`, or bool `[V, classes]`.
        logits: `[V, classes]`.
    """
    losses = video_losses(labels, logits)
    order = np.argsort(-losses, kind="stable")
    return order[~np.isnan(losses[order])][:_WORST]


def draw_errors(
    shards: Shards, config: InputConfig, logits: np.ndarray, videos: np.ndarray
) -> np.ndarray:
    """The middle segments of some videos, each with its name, its label and what it was taken for.

    Args:
        shards: where they are from.
        config: of the frames.
        logits: `[V, classes]` of all of them.
        videos: positions of those to draw.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    middle = config.num_segments // 2
    frames = [evaluation_example(shards, config, v)["frames"][0, middle] for v in videos.tolist()]
    images = []
    for video, image in zip(videos.tolist(), drawing.rgb(np.stack(frames))):
        # Of the path its end, which tells one video from another.
        name = shards.ids[video].rpartition("/")[2]
        lines = [(name, BLACK), *_true_and_predicted(shards, video, logits[video])]
        images.append(drawing.captioned(drawing.enlarged(image, _WORST_SIDE), lines))
    return drawing.tiled(images, _COLUMNS)


def _true_and_predicted(shards: Shards, video: int, logits: np.ndarray) -> list[Line]:
    p = softmax(logits.astype(np.float64))
    predicted = int(p.argmax())
    label = shards.labels[video]
    true = np.flatnonzero(label) if label.ndim else np.array([label])
    is_right = predicted in true
    names = ", ".join(shards.classes[k] for k in true)
    taken_for = f"-> {p[predicted]:.2f} {shards.classes[predicted]}"
    return [(names, BLACK), (taken_for, GREEN if is_right else RED)]


def _write(events: Events, name: str, image: np.ndarray) -> None:
    with events.written():
        tf.summary.image(f"images/{name}", image[None], description=_DESCRIPTIONS[name])

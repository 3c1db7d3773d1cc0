"""Images of every epoch: an augmented batch, the worst errors and a confusion matrix."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.data.batches import Batch, evaluation_example, training_rows
from rlstm_tf.data.device_augmentation import make_preprocess
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.evaluation.metrics import confusion_matrix, video_losses
from rlstm_tf.summaries import confusion, drawing
from rlstm_tf.summaries.drawing import BLACK, GREEN, RED, Line
from rlstm_tf.summaries.events import Events
from rlstm_tf.training.validation import Validation

_ROWS = 4  # videos of the augmented batch
_NUM_ERRORS, _COLUMNS = 8, 4  # worst errors, and how many of them in a row
_BATCH_SIDE, _ERROR_SIDE = 96, 192  # side to which smaller frames are enlarged, pixels
_DESCRIPTIONS = {
    "augmented_batch": "The first videos of the epoch as the network saw them, cropped, mirrored "
    "and, as far as these are on, with changed colors, an erased rectangle and mixed in pairs: one "
    "video per row, one segment per column.",
    "worst_errors": "The middle segments of the validation videos with the highest loss, highest "
    "first. Below the name: the true class, then the predicted one and its probability.",
    "confusion_matrix": confusion.DESCRIPTION,
}


class AugmentedBatch(keras.callbacks.Callback):
    """Writes an image of the first videos of every epoch, as the training saw them.

    Args:
        events: event files to write to.
        epochs: schedule of the epochs.
        shards: training shards.
        config: input configuration.
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
        snippets = drawing.to_rgb(np.asarray(make_preprocess(self.config)(rows)))
        for text, segments in zip(self._captions(rows), snippets):
            side_by_side = drawing.enlarge(np.concatenate(segments, axis=1), _BATCH_SIDE)
            images.append(drawing.add_caption(side_by_side, [(text, BLACK)]))
        _write(self.events, "augmented_batch", drawing.tile(images, columns=1))

    def _captions(self, rows: Batch) -> list[str]:
        names = [
            f"{self.shards.classes[label]}: {self.shards.ids[video]}"
            for video, label in zip(rows["video"], rows["label"])
        ]
        if not self.config.mixup:
            return names
        # The pairs of `mix`.
        return [
            f"{share:.2f} {name} + {1 - share:.2f} {names[row ^ 1]}"
            for row, (name, share) in enumerate(zip(names, rows["share"]))
        ]


class Errors(keras.callbacks.Callback):
    """Writes the worst errors of every validation and, for single labels, a confusion matrix.

    Args:
        events: event files to write to.
        validation: validation of the run; it runs before the end of every epoch.
        config: input configuration.
    """

    def __init__(self, events: Events, validation: Validation, config: InputConfig) -> None:
        super().__init__()
        self.events, self.validation, self.config = events, validation, config

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the images."""
        shards, logits = self.validation.shards, self.validation.logits
        if len(worst := worst_videos(shards.labels, logits)):
            _write(self.events, "worst_errors", draw_errors(shards, self.config, logits, worst))
        if shards.labels.ndim == 1 and len(shards.classes) <= confusion.MAX_CLASSES:
            counts = confusion_matrix(shards.labels, logits)
            _write(self.events, "confusion_matrix", confusion.draw(counts, shards.classes))


def worst_videos(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Returns the positions of the labeled videos with the highest loss, highest first.

    Args:
        labels: `[V]`, or bool `[V, classes]`.
        logits: `[V, classes]`.
    """
    losses = video_losses(labels, logits)
    order = np.argsort(-losses, kind="stable")
    return order[~np.isnan(losses[order])][:_NUM_ERRORS]


def draw_errors(
    shards: Shards, config: InputConfig, logits: np.ndarray, videos: np.ndarray
) -> np.ndarray:
    """Draws the middle segments of videos, with name, true class and predicted class.

    Args:
        shards: shards of the videos.
        config: input configuration.
        logits: logits of all videos of the shards, `[V, classes]`.
        videos: positions of the videos to draw.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    middle = config.num_segments // 2
    frames = [evaluation_example(shards, config, v)["frames"][0, middle] for v in videos.tolist()]
    images = []
    for video, image in zip(videos.tolist(), drawing.to_rgb(np.stack(frames))):
        # The end of the path distinguishes videos.
        name = shards.ids[video].rpartition("/")[2]
        lines = [(name, BLACK), *_true_and_predicted(shards, video, logits[video])]
        images.append(drawing.add_caption(drawing.enlarge(image, _ERROR_SIDE), lines))
    return drawing.tile(images, _COLUMNS)


def _true_and_predicted(shards: Shards, video: int, logits: np.ndarray) -> list[Line]:
    p = softmax(logits.astype(np.float64))
    predicted = int(p.argmax())
    label = shards.labels[video]
    true = np.flatnonzero(label) if label.ndim else np.array([label])
    is_right = predicted in true
    names = ", ".join(shards.classes[k] for k in true)
    prediction = f"-> {p[predicted]:.2f} {shards.classes[predicted]}"
    return [(names, BLACK), (prediction, GREEN if is_right else RED)]


def _write(events: Events, name: str, image: np.ndarray) -> None:
    with events.recording():
        tf.summary.image(f"images/{name}", image[None], description=_DESCRIPTIONS[name])

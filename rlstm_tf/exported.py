"""Exported networks on disk: what `export` writes, and `predict` and any server load.

saved_models/NAME/
    1/, 2/ ...                  versions; a server takes the highest
        saved_model.pb, variables/
        assets/classes.txt      class names in the order of the logits, a line each
        assets/model.json       what a video must be made into for it: `Description`
        assets.extra/tf_serving_warmup_requests
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlstm_tf.data.batches import InputConfig
from rlstm_tf.data.json_values import names, of_fields, parsed, sealed, typed, unsealed
from rlstm_tf.data.video_views import Storing
from rlstm_tf.errors import DataError

CLASSES = "classes.txt"
DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Description:
    """What a network takes and gives.

    Attributes:
        model, backbone: names.
        stream: `spatial` or `temporal`.
        num_segments: T, snippets of a video.
        image_size: S, height and width of a frame, pixels.
        new_length: flow fields of a snippet; 1 in the spatial stream.
        classes: names, in the order of the logits.
        multi_label: a video may have any number of labels.
        short_side, jpeg_quality, flow: of its training records, see `Storing`.
        checkpoint: what it was exported from.
        version: of rlstm_tf.
    """

    model: str
    backbone: str
    stream: str
    num_segments: int
    image_size: int
    new_length: int
    classes: list[str]
    multi_label: bool
    short_side: int
    jpeg_quality: int
    flow: str | None
    checkpoint: str
    version: str

    @property
    def storing(self) -> Storing:
        """How images lay in the records that it was trained on."""
        return Storing(self.short_side, self.jpeg_quality, self.flow)

    def input(self, batch_size: int = 1) -> InputConfig:
        """What it takes."""
        return InputConfig(
            batch_size,
            num_segments=self.num_segments,
            image_size=self.image_size,
            stream=self.stream,
            new_length=self.new_length,
        )

    def to_json(self) -> str:
        """The text of `model.json`."""
        return json.dumps(sealed(asdict(self)), ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def read(cls, version: Path) -> Description:
        """Reads `model.json` of a version.

        Args:
            version: directory of one version, see `newest_version`.

        Raises:
            DataError: it is missing, or not what was written.
        """
        path = version / "assets" / DESCRIPTION
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{version} holds no network of rlstm_tf.export: {error}") from None
        where = str(path)
        values = of_fields(cls, unsealed(parsed(text, where), where), where)
        for name, kind in cls.__annotations__.items():
            if kind in ("str", "int", "bool"):
                typed(values[name], {"str": str, "int": int, "bool": bool}[kind], where)
        values["classes"] = list(names(values["classes"], where))
        return cls(**values)


def versions(directory: Path) -> dict[int, Path]:
    """The versions of an exported network, by number.

    Args:
        directory: saved_models/NAME; it may be missing.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        found = [path for path in directory.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"cannot read {directory}: {error.strerror}") from None
    # As TensorFlow Serving reads them: digits alone.
    return {int(path.name): path for path in found if path.name.isascii() and path.name.isdigit()}


def newest_version(directory: Path) -> Path:
    """The version that a server would take; a version itself may be given too.

    Raises:
        DataError: there is none.
    """
    if (directory / "saved_model.pb").is_file():
        return directory
    found = versions(directory)
    if not found:
        raise DataError(f"{directory} holds no exported network: make one with rlstm_tf.export")
    return found[max(found)]


def load_signatures(version: Path) -> Any:
    """The signatures of a version, by name: functions of tensors by name.

    Raises:
        DataError: it is damaged.
    """
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(version)).signatures
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise DataError(f"{version} is damaged: {error}") from None

"""Exported networks on disk: what `export` writes, and `predict` and any server load.

saved_models/NAME/
    1/, 2/ ...                  versions; a server takes the highest
        saved_model.pb, variables/
        assets/classes.txt      class names in the order of the logits, a line each
        assets/model.json       what a video must be made into for it: `Description`
        assets.extra/tf_serving_warmup_requests
        assets.extra/files.json sha256 of every other file, and of itself: TensorFlow has checksums
                                of the variables alone, and a changed graph may answer
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.video_views import RecordFormat
from rlstm_tf.errors import DataError
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.files import is_directory, is_remote, list_directory
from rlstm_tf.storage.json_values import parse_json, require_fields, require_names, require_type

CLASSES = "classes.txt"
DESCRIPTION = "model.json"
GRAPH = "saved_model.pb"
FILES = Path("assets.extra") / "files.json"


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
        short_side, jpeg_quality, flow: of its training records, see `RecordFormat`.
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
    def record_format(self) -> RecordFormat:
        """How images lay in the records that it was trained on."""
        return RecordFormat(self.short_side, self.jpeg_quality, self.flow)

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
        return json.dumps(with_checksum(asdict(self)), ensure_ascii=False, indent=1) + "\n"

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
            reason = getattr(error, "strerror", error)
            raise DataError(
                f"{version} holds no network of rlstm_tf.export: assets/{DESCRIPTION}: {reason}"
            ) from None
        where = str(path)
        values = require_fields(cls, verify_checksum(parse_json(text, where), where), where)
        values["classes"] = list(require_names(values["classes"], where))
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


def stored_versions(directory: str) -> list[int]:
    """Numbers of the versions of an exported network in a store; none of a local one.

    Raises:
        DataError: they cannot be listed.
    """
    if not is_remote(directory) or not is_directory(directory):
        return []
    names = list_directory(directory)
    return [int(name) for name in names if name.isascii() and name.isdigit()]


def newest_version(directory: Path) -> Path:
    """The version that a server would take; a version itself may be given too.

    Raises:
        DataError: there is none, or the newest is something else.
    """
    if (directory / GRAPH).is_file():
        return directory
    found = versions(directory)
    if not found:
        raise DataError(f"{directory} holds no exported network: make one with rlstm_tf.export")
    newest = found[max(found)]
    for name in (GRAPH, f"assets/{DESCRIPTION}"):
        try:
            (newest / name).stat()
        except OSError as error:
            raise DataError(
                f"{newest} is the newest version and holds no exported network: "
                f"{name}: {error.strerror}"
            ) from None
    return newest


def checksums(version: Path) -> str:
    """The text of `files.json`: the sha256 of each file of a version, by its path in there.

    Raises:
        OSError: one cannot be read.
    """
    paths = sorted(path for path in version.rglob("*") if path.is_file())
    files = {path.relative_to(version).as_posix(): _sha256(path) for path in paths}
    files.pop(FILES.as_posix(), None)
    return json.dumps(with_checksum({"files": files}), ensure_ascii=False, indent=1) + "\n"


def check_files(version: Path) -> None:
    """Refuses a version of which a file was changed since it was written.

    One without `files.json` is accepted: it was exported before there was any.

    Raises:
        DataError: one was, lacks, or cannot be read; names it.
    """
    where = version / FILES
    try:
        text = where.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror}") from None
    values = verify_checksum(parse_json(text, str(where)), str(where))
    for name, said in require_type(values.get("files"), dict, str(where)).items():
        path = version / name
        try:
            found = _sha256(path)
        except FileNotFoundError:
            raise DataError(f"{version} is damaged: it lacks {name}") from None
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        if found != said:
            raise DataError(f"{path} is damaged: its sha256 is {found}, {where} says {said}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def load_signatures(version: Path) -> Any:
    """The signatures of a version, by name: functions of tensors by name.

    Raises:
        DataError: it is damaged, or cannot be loaded.
    """
    import tensorflow as tf

    check_files(version)
    try:
        return tf.saved_model.load(str(version)).signatures
    # TensorFlow promises no class: of a graph cut short, it indexes lists that are too short.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{version} cannot be loaded: {reason}") from None

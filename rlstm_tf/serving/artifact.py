"""Exported networks on disk: written by `rlstm_tf.export`, loaded by `predict` and any server.

saved_models/NAME/
    1/, 2/ ...                  versions; a server loads the highest
        saved_model.pb, variables/
        assets/classes.txt      class names in the order of the logits, one per line
        assets/model.json       how a video must be prepared: `ModelMetadata`
        assets.extra/tf_serving_warmup_requests
        assets.extra/files.json sha256 of every other file, and of itself; TensorFlow has checksums
                                of the variables only, and may run a graph that was changed
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.video_views import RecordFormat
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.files import is_directory, is_remote, list_directory, read_text
from rlstm_tf.storage.json_values import parse_json, require_fields, require_names, require_type
from rlstm_tf.storage.names import confine

CLASSES = "classes.txt"
METADATA = "model.json"
GRAPH = "saved_model.pb"
CHECKSUMS = Path("assets.extra") / "files.json"


@dataclass(frozen=True)
class ModelMetadata:
    """Inputs, outputs and origin of an exported network.

    Attributes:
        model, backbone: names.
        stream: `spatial` or `temporal`.
        num_segments: T, snippets per video.
        image_size: S, height and width of a frame, pixels.
        new_length: flow fields per snippet; 1 in the spatial stream.
        classes: class names, in the order of the logits.
        multi_label: videos may have any number of labels.
        short_side, jpeg_quality, flow: format of the training records, as in `RecordFormat`.
        checkpoint: path of the exported checkpoint.
        version: version of rlstm_tf that exported it.
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
        """Format of the frames in the training records."""
        return RecordFormat(self.short_side, self.jpeg_quality, self.flow)

    def input_config(self, batch_size: int = 1) -> InputConfig:
        """Returns how videos are sampled for the network."""
        return InputConfig(
            batch_size,
            num_segments=self.num_segments,
            image_size=self.image_size,
            stream=self.stream,
            new_length=self.new_length,
        )

    def to_json(self) -> str:
        """Returns the text of `model.json`."""
        return json.dumps(with_checksum(asdict(self)), ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def read(cls, version: Path) -> ModelMetadata:
        """Reads `model.json`.

        Args:
            version: directory of one version, from `find_newest_version`.

        Raises:
            DataError: the file is missing or damaged, or a number in it is out of range.
        """
        path = version / "assets" / METADATA
        try:
            text = read_text(str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", error)
            raise DataError(
                f"{version} holds no network from rlstm_tf.export: assets/{METADATA}: {reason}"
            ) from None
        where = str(path)
        values = require_fields(cls, verify_checksum(parse_json(text, where), where), where)
        values["classes"] = list(require_names(values["classes"], where))
        flow = values["flow"]
        if flow is not None:
            require_type(flow, str, f"{where}: flow")
        metadata = cls(**values)
        metadata.record_format.check(where)
        try:
            metadata.input_config()
        except UsageError as error:
            raise DataError(f"{where}: {error}") from None
        return metadata


def list_versions(directory: Path) -> dict[int, Path]:
    """Lists the versions of an exported network, by number.

    Args:
        directory: saved_models/NAME; it may be missing.

    Raises:
        DataError: the directory cannot be listed.
    """
    try:
        found = [path for path in directory.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"cannot read {directory}: {error.strerror}") from None
    return {int(path.name): path for path in found if _is_version(path.name)}


def list_remote_versions(directory: str) -> list[int]:
    """Lists the version numbers of an exported network in a store; none for a local directory.

    Raises:
        DataError: the directory cannot be listed.
    """
    if not is_remote(directory) or not is_directory(directory):
        return []
    return [int(name) for name in list_directory(directory) if _is_version(name)]


def newest_version_source(model: str) -> str:
    """Returns the newest version of a network in a store, to fetch only that; or a local path.

    Args:
        model: saved_models/NAME, or one of its versions, local or in a store.

    Raises:
        DataError: the directory cannot be listed.
    """
    numbers = list_remote_versions(model)
    return f"{model.rstrip('/')}/{max(numbers)}" if numbers else model


def _is_version(name: str) -> bool:
    """Returns whether TensorFlow Serving takes a directory for a version: digits only."""
    return name.isascii() and name.isdigit()


def find_newest_version(directory: Path) -> Path:
    """Returns the version that a server would load.

    Args:
        directory: saved_models/NAME, or one of its versions, which is returned unchanged.

    Raises:
        DataError: there is no version, or the newest is not an exported network.
    """
    if (directory / GRAPH).is_file():
        return directory
    found = list_versions(directory)
    if not found:
        raise DataError(f"{directory} holds no exported network: make one with rlstm_tf.export")
    newest = found[max(found)]
    for name in (GRAPH, f"assets/{METADATA}"):
        try:
            (newest / name).stat()
        except OSError as error:
            raise DataError(
                f"{newest} is the newest version and holds no exported network: "
                f"{name}: {error.strerror}"
            ) from None
    return newest


def compute_checksums(version: Path) -> str:
    """Returns the text of `files.json`: the sha256 of each file, by its path in the version.

    Raises:
        OSError: a file cannot be read.
    """
    paths = sorted(path for path in version.rglob("*") if path.is_file())
    files = {path.relative_to(version).as_posix(): _sha256(path) for path in paths}
    files.pop(CHECKSUMS.as_posix(), None)
    return json.dumps(with_checksum({"files": files}), ensure_ascii=False, indent=1) + "\n"


def verify_files(version: Path) -> None:
    """Compares the files of a version with their checksums.

    A version without `files.json` is accepted: early exports have none.

    Raises:
        DataError: a file was changed, is missing, is not listed, or cannot be read; or the list
            names a file outside the version.
    """
    where = version / CHECKSUMS
    try:
        text = read_text(str(where))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", error)
        raise DataError(f"cannot read {where}: {reason}") from None
    values = verify_checksum(parse_json(text, str(where)), str(where))
    listed = require_type(values.get("files"), dict, str(where))
    if new := sorted(_loaded_files(version).difference(listed)):
        raise DataError(f"{version} is damaged: {CHECKSUMS.name} does not list {new[0]}")
    for name, expected in listed.items():
        path = version / confine(name, str(where))
        try:
            found = _sha256(path)
        except FileNotFoundError:
            raise DataError(f"{version} is damaged: it lacks {name}") from None
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        if found != expected:
            raise DataError(f"{path} is damaged: its sha256 is {found}, expected {expected}")


def _loaded_files(version: Path) -> set[str]:
    """Returns the paths in a version of the files that a server may load."""
    places = *version.glob("saved_model.*"), *version.glob("fingerprint.*")
    places += *(version / "variables").rglob("*"), *(version / "assets").rglob("*")
    return {path.relative_to(version).as_posix() for path in places if not path.is_dir()}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_signatures(version: Path) -> Any:
    """Loads the signatures of a version: functions of tensors by name, by signature name.

    Raises:
        DataError: the version is damaged or cannot be loaded.
    """
    import tensorflow as tf

    verify_files(version)
    try:
        return tf.saved_model.load(str(version)).signatures
    # TensorFlow promises no error class: with a truncated graph, it indexes past the end of lists.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{version} cannot be loaded: {reason}") from None


def run_signature(
    signature: Callable[..., dict[str, Any]], path: str, **inputs: Any
) -> dict[str, Any]:
    """Calls a signature of an exported network.

    Args:
        signature: the function.
        path: the video, for error messages.
        **inputs: its inputs, tensors.

    Raises:
        DataError: the network fails, for example for lack of memory.
    """
    import tensorflow as tf

    try:
        return signature(**inputs)
    except tf.errors.OpError as error:
        # Join all lines: the first one names no cause.
        reason = " ".join((error.message or type(error).__name__).split())
        raise DataError(f"{path}: the network fails: {reason}") from None

"""Checkpoints: one file each, written atomically and verified by a checksum.

A checkpoint is an `.npz` of arrays by name, the same on both stacks, with the rest of the run's
state as JSON. Keras's own formats cannot be used: see docs/design.md.
"""

from __future__ import annotations

import errno
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from rlstm_tf import compat
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.runs.directory import BEST, UnreadableError, list_checkpoints
from rlstm_tf.storage.arrays import arrays_sha256, read_arrays
from rlstm_tf.storage.atomic import PARTIAL, atomic_file, sync, writing
from rlstm_tf.storage.bounded import parse_json_text

State = dict[str, np.ndarray]
_INFO = "info"


def named_weights(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every weight with a name that is equal on both stacks: model/.../layer/weight."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_weights(layer, f"{prefix}{layer.name}/")
        else:
            for weight in layer.weights:
                yield prefix + compat.weight_name(layer, weight), weight


def named_variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
) -> dict[str, Any]:
    """Returns a checkpoint's variables by name: weights and, if given, the optimizer's state."""
    named = list(named_weights(model))
    variables = {f"model/{name}": weight for name, weight in named}
    if len(variables) != len(named):
        raise ValueError("two weights of the model have the same name")
    if optimizer is not None:
        for number, variable in enumerate(compat.optimizer_state(optimizer)):
            variables[f"optimizer/{number:04d}"] = variable
    return variables


def restore(variables: dict[str, Any], state: State, path: Path) -> None:
    """Assigns a checkpoint's arrays.

    Args:
        variables: from `named_variables`.
        state: from `Checkpoints.load`; further arrays are ignored.
        path: the checkpoint, for error messages.

    Raises:
        DataError: an array is missing or has another shape; nothing is assigned then.
    """
    for name, variable in variables.items():
        found = state[name].shape if name in state else None
        if found != tuple(variable.shape):
            raise DataError(
                f"{path} is from another model: {name} is {found or 'missing'}, "
                f"expected {tuple(variable.shape)}"
            )
    for name, variable in variables.items():
        variable.assign(state[name])


class Checkpoints:
    """The checkpoints of one run: the newest ones, and the best.

    Args:
        directory: their directory.
        keep: number of newest checkpoints to keep.
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self.directory = directory
        self.keep = keep

    @property
    def best(self) -> Path:
        """Path of the checkpoint with the best validation score, which may be missing."""
        return self.directory / BEST

    def all(self) -> list[Path]:
        """Lists the numbered checkpoints, oldest first.

        Raises:
            UnreadableError: the directory exists but cannot be listed.
        """
        return [path for path in list_checkpoints(self.directory) if path != self.best]

    def save(self, step: int, state: State, info: dict[str, Any], best: bool = False) -> Path:
        """Writes a checkpoint atomically and deletes the oldest ones beyond `keep`.

        Args:
            step: optimizer steps taken.
            state: arrays by name.
            info: further state, as JSON values.
            best: save it as the best one too.

        Returns:
            Its path.

        Raises:
            DataError: the checkpoint cannot be written; older ones are kept.
        """
        path = self.directory / f"step-{step:09d}.npz"
        info = {**info, "step": step}
        info["sha256"] = arrays_sha256(state, info)
        text = np.frombuffer(json.dumps(info).encode(), np.uint8)
        with writing(path):
            self.directory.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                _write(file, {**state, _INFO: text})
                if best:
                    sync(file)
                    # First: resuming from this checkpoint assumes that the best one exists.
                    with open(file.name, "rb") as source, atomic_file(self.best) as copy:
                        shutil.copyfileobj(source, copy)
            for old in self.all()[: -self.keep]:
                old.unlink(missing_ok=True)
        return path

    def clear(self) -> None:
        """Deletes partial files of a killed process."""
        for partial in self.directory.glob("*" + PARTIAL):
            partial.unlink(missing_ok=True)

    def set_aside_after(self, path: Path) -> None:
        """Renames the damaged checkpoints newer than `path` to `.damaged`.

        Otherwise they would count among the newest, and intact ones would be deleted instead.
        """
        for newer in self.all():
            if newer > path:
                with writing(newer):
                    newer.replace(newer.with_suffix(".damaged"))

    def load(self, path: Path) -> tuple[State, dict[str, Any]]:
        """Reads a checkpoint.

        Returns:
            Arrays by name, and the `info` it was saved with, `step` included.

        Raises:
            UnreadableError: the file cannot be read now.
            DataError: it is missing or damaged.
        """
        try:
            with path.open("rb") as stream:
                state = read_arrays(stream)
            info = parse_json_text(state.pop(_INFO).tobytes())
            intact = info.pop("sha256") == arrays_sha256(state, info)
        except FileNotFoundError:
            raise DataError(f"there is no checkpoint {path}") from None
        except Exception as error:
            # Lack of memory, permission or connection does not mean damage. EINVAL does: a damaged
            # archive makes zipfile seek to before the start.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
            if isinstance(error, MemoryError) and _is_archive(path):
                reason = str(error) or "out of memory"
                raise UnreadableError(f"cannot read {path}: {reason}") from None
            # A changed byte can cause almost any error in NumPy and zipfile.
            raise DataError(f"checkpoint {path} is damaged: {error}") from error
        if not intact:
            raise DataError(f"checkpoint {path} is damaged: its sha256 differs")
        return state, info

    def require_newest(self) -> tuple[State, dict[str, Any], Path]:
        """Loads the newest intact checkpoint; returns its arrays, `info` and path.

        Raises:
            DataError: there is none, or one cannot be read.
        """
        newest = self.load_newest()
        if newest is None:
            raise DataError(f"{self.directory.parent} holds no checkpoint yet")
        return newest

    def load_newest(self) -> tuple[State, dict[str, Any], Path] | None:
        """Loads the newest intact checkpoint, or returns None if there is no checkpoint.

        The best one is tried last: it is older than the others, or a first one whose process was
        killed before it wrote the numbered copy. Prints a warning for each damaged checkpoint.

        Raises:
            DataError: all checkpoints are damaged, or one cannot be read.
        """
        paths = list_checkpoints(self.directory)
        for path in reversed(paths):
            try:
                return (*self.load(path), path)
            except UnreadableError:
                raise
            except DataError as error:
                if not path.exists():  # deleted by a running training
                    return self.load_newest()
                say(f"warning: {error}; trying the one before")
        if paths:
            raise DataError(f"every checkpoint in {self.directory} is damaged")
        return None


def _write(file: IO[bytes], arrays: dict[str, Any]) -> None:
    """Writes an `.npz`. On a full disk, np.savez would leave its archive open."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _is_archive(path: Path) -> bool:
    """Returns whether a zip archive is intact, in little memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:
        return False

"""The directory of one training run: its lock, flags, classes and manifest.

run_dir/flags.cfg       the flagfile that repeats the run
run_dir/classes.json    class names in the order of the logits
run_dir/manifest.json   manifest of the training shards: how frames were stored
run_dir/records.sha256  sha256 of that manifest
run_dir/checkpoints/    step-NNNNNNNNN.npz, best.npz
run_dir/history.csv     one row per epoch
run_dir/tensorboard/    see docs/tensorboard.md
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from absl import flags

from rlstm_tf.cli.flag_files import read_lines
from rlstm_tf.cli.flags import CHANGEABLE, COSINE, parse_flagfiles
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.atomic import PARTIAL, write_atomic, writing
from rlstm_tf.storage.bounded import parse_json_text
from rlstm_tf.storage.files import read_text
from rlstm_tf.storage.json_values import require_names
from rlstm_tf.storage.locks import lock_file

if TYPE_CHECKING:
    from rlstm_tf.data.manifest import Manifest

BEST = "best.npz"
_TRAIN = ("python", "-m", "rlstm_tf.train")
_ALWAYS_GIVEN = ("data", "run_dir")
# A run's own flags are complete.
_NESTED = re.compile(r"^\s*--?flagfile\b", re.MULTILINE)
_NUMBERED = re.compile(r"step-\d+\.npz$")


class UnreadableError(DataError):
    """A file or directory cannot be read now; it need not be damaged."""


def define_run_flags(values: flags.FlagValues) -> None:
    """Defines --run_dir and --checkpoint, for commands that read a trained run."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("run_dir", None, "Directory of the run.", **own)
    flags.DEFINE_enum(
        "checkpoint",
        None,
        ("newest", "best"),
        "Checkpoint to load; if unset the newest, or the best of a run with --patience.",
        **own,
    )


def read_flags(path: Path) -> flags.FlagValues:
    """Reads the flags that a run was started with.

    Args:
        path: its `flags.cfg`.

    Raises:
        DataError: the file is missing or is not a run's flagfile.
    """
    if not path.is_file():
        raise DataError(f"{path.parent} holds no run: there is no {path.name}")
    try:
        if _NESTED.search(read_text(str(path))):
            raise flags.Error("it reads another file of flags")
        values = parse_flagfiles(str(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except (flags.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged, or of another version: {error}") from error
    # Every run has both; one is early in the file, one late.
    for name in _ALWAYS_GIVEN:
        if not values[name].value:
            raise DataError(f"{path} is damaged: it lacks --{name}")
    return values


def list_checkpoints(directory: Path) -> list[Path]:
    """Lists a run's checkpoints: the best one, if any, then the numbered ones, oldest first.

    Raises:
        UnreadableError: the directory exists but cannot be listed.
    """
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        # Path.glob would return nothing, as for a new run.
        raise UnreadableError(f"cannot read {directory}: {error.strerror}") from None
    return [directory / name for name in sorted(names) if name == BEST or _NUMBERED.match(name)]


class RunDirectory:
    """A run's directory, for reading; `open_for_training` locks it for writing.

    Args:
        path: the directory; it may be missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.flags = self.path / "flags.cfg"
        self.checkpoints = self.path / "checkpoints"
        self.history = self.path / "history.csv"
        self.tensorboard = self.path / "tensorboard"
        self._classes = self.path / "classes.json"
        self._records = self.path / "records.sha256"
        self._manifest = self.path / "manifest.json"
        self._lock: IO | None = None

    def has_checkpoint(self) -> bool:
        """Returns whether there is a checkpoint to resume from.

        Raises:
            DataError: the directory exists but cannot be listed.
        """
        return bool(list_checkpoints(self.checkpoints))

    def open_for_training(
        self,
        given: Mapping[str, str],
        defaults: Mapping[str, str],
        classes: list[str],
        records: str,
        resume: bool,
    ) -> None:
        """Locks the directory for this process, to start a run or to resume the one in it.

        Checks everything before it changes a file.

        Args:
            given: the command's flags, name -> `--name=value`.
            defaults: the same, of a command line without arguments. A flag that the run does not
                record, as it is newer than the run, counts as its default.
            classes: class names of the shards in --data, in the order of the logits.
            records: text of these shards' manifest.
            resume: resume the run if there is one; the flags of `CHANGEABLE` may differ then,
                but not `--epochs` with `COSINE`, and so may the place of `--cache_maps`.

        Raises:
            DataError: the directory cannot be written, is locked by another training, is damaged,
                holds something other than a run, or its run has other classes or shards.
            UsageError: it holds a run, and `resume` is False or a flag differs.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            in_use = f"run_dir {self.path} is in use by another training"
            self._lock = lock_file(self.path / ".lock", in_use)
        new = not self.has_checkpoint()
        if new:
            self._clear(resume)
        else:
            if not resume:
                raise UsageError(
                    f"run_dir {self.path} already holds a run: --resume continues it, "
                    "another --run_dir starts a new one"
                )
            self._check_flags(given, defaults)
            self.check_classes(classes, given["data"])
            self._check_records(records, given["data"])
        for partial in self.path.glob("*" + PARTIAL):  # left by a killed process
            partial.unlink(missing_ok=True)
        # First: files in a directory without flags.cfg do not belong to a run.
        _write(self.flags, "\n".join(given.values()) + "\n")
        if new:
            _write(self._classes, json.dumps(classes, ensure_ascii=False, indent=1))
            _write(self._records, _digest(records) + "\n")
        if not self._manifest.exists():  # older runs have none
            _write(self._manifest, records)

    def _clear(self, resume: bool) -> None:
        """Deletes the files of a run that ended before its first checkpoint."""
        ours = (self._classes, self._records, self._manifest, self.history, self.tensorboard)
        left = [path for path in ours if path.exists()]
        if left and not self.flags.exists():
            raise DataError(
                f"run_dir {self.path} holds {left[0].name}, which is not from a run: give another"
            )
        if self.history in left and not resume:
            raise UsageError(
                f"run_dir {self.path} holds {self.history.name} of a run whose checkpoints are "
                "gone: --resume starts it from the beginning, another --run_dir a new one"
            )
        for path in left:
            with writing(path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _check_flags(self, given: Mapping[str, str], defaults: Mapping[str, str]) -> None:
        before: dict[str, list[str]] = {}
        try:
            lines = [line for line in read_lines(str(self.flags)) if line]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.flags} is missing or damaged: {error}") from None
        for line in lines:
            name = line.lstrip("-").split("=")[0]
            known = name in given or not name.startswith("no")
            before.setdefault(name if known else name[2:], []).append(line)
        complete = all(name in before for name in _ALWAYS_GIVEN)
        changeable = CHANGEABLE - ({"epochs"} if given.get("schedule") == COSINE else set())
        # Only whether there is a cache changes a run: its place may be another on each machine.
        changeable |= {"cache_maps"} & given.keys() & before.keys()
        for name in sorted({*before, *given} - changeable):
            if complete and name not in before and given[name] == defaults.get(name):
                continue
            was, now = " ".join(before.get(name, ())), given.get(name, "")
            if was != " ".join(now.splitlines()):
                raise UsageError(
                    f"--resume: the run was started with {was or 'no --' + name}, "
                    f"this command with {now or 'no --' + name}"
                )

    def _check_records(self, records: str, data: str) -> None:
        try:
            was = read_text(str(self._records)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._records} is missing or damaged: {error}") from None
        if was != _digest(records):
            raise DataError(
                f"{data} holds other records than run {self.path} was started with: the sha256 of "
                f"their manifest is {_digest(records)}, that of the run's {was}"
            )

    def check_classes(self, classes: list[str], data: str) -> None:
        """Compares the class list of shards with the run's.

        Args:
            classes: class names of the shards.
            data: directory of the shards, for the message.

        Raises:
            DataError: they differ.
        """
        known = self.classes()
        if known != classes:
            differ = [f"{a!r} is {b!r}" for a, b in zip(known, classes) if a != b]
            first = differ[0] if differ else f"{len(known)} are {len(classes)}"
            raise DataError(
                f"{data} has another class list than run {self.path}: in the shards {first}"
            )

    def manifest(self) -> Manifest:
        """Reads the manifest of the training shards.

        Raises:
            DataError: it is missing or damaged.
        """
        from rlstm_tf.data.manifest import Manifest

        try:
            text = read_text(str(self._manifest))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            again = shlex.join([*_TRAIN, f"--flagfile={self.flags}", "--resume"])
            raise DataError(
                f"{self._manifest}: {reason}; where it is missing, this writes it: {again}"
            ) from None
        self._check_records(text, str(self._manifest))
        return Manifest.from_json(text, str(self._manifest))

    def classes(self) -> list[str]:
        """Reads the class names, in the order of the logits.

        Raises:
            DataError: the directory holds no run.
        """
        try:
            found = parse_json_text(read_text(str(self._classes)))
        except (OSError, ValueError):
            found = None
        if not isinstance(found, list):
            raise DataError(f"{self.path} holds no run: {self._classes} is missing or damaged")
        return list(require_names(found, str(self._classes)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    with writing(path):
        write_atomic(path, text.encode())

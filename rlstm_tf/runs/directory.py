"""The directory of one training run: who may write into it, and what it was started with.

run_dir/flags.cfg       runs the same thing again
run_dir/classes.json    class names in the order of the logits
run_dir/records.sha256  of the manifest of the shards
run_dir/manifest.json   that manifest: how the frames were made that the network knows
run_dir/checkpoints/    step-NNNNNNNNN.npz, best.npz
run_dir/history.csv     a row an epoch
run_dir/tensorboard/    see docs/tensorboard.md
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from pathlib import Path
from typing import IO

from rlstm_tf.data.schema import Manifest
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.checkpoints import checkpoints_in
from rlstm_tf.storage.atomic import PARTIAL, cannot_write, write_whole, writing


class RunDirectory:
    """A run's directory, opened for reading; `claim` it to write.

    Args:
        path: of the directory.
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
        """Whether it holds a run that can be continued.

        Raises:
            DataError: it is there, and cannot be looked into.
        """
        return bool(checkpoints_in(self.checkpoints))

    def claim(
        self,
        flags: dict[str, str],
        classes: list[str],
        records: str,
        resume: bool,
        changeable: set[str],
    ) -> None:
        """Makes it this process's own: for a new run, or to continue the one it holds.

        Nothing in it is changed before all is checked.

        Args:
            flags: name to serialized `--name=value` of the command.
            classes: names in the order of the logits, of the shards in `flags["data"]`.
            records: the manifest of these shards.
            resume: continue the run if there is one.
            changeable: names of flags that may differ when a run is continued.

        Raises:
            DataError: it cannot be written, another training has it, what it holds is damaged, of
                another class list, of other shards, or of something else than a run.
            UsageError: it holds a run and `resume` is False, or was started with other flags.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"run_dir {self.path} is in use by another training") from None
        except OSError as error:
            raise cannot_write(self.path, error) from None
        new = not self.has_checkpoint()
        if new:
            self._clear(resume)
        else:
            if not resume:
                raise UsageError(
                    f"run_dir {self.path} already holds a run: --resume continues it, "
                    "another --run_dir starts a new one"
                )
            self._check_same(flags, changeable)
            self.check_classes(classes, flags["data"])
            self._check_records(records, flags["data"])
        for partial in self.path.glob("*" + PARTIAL):  # of a process that was killed
            partial.unlink(missing_ok=True)
        # First of all: what lies in a directory without it is not of a run.
        _write(self.flags, "\n".join(flags.values()) + "\n")
        if new:
            _write(self._classes, json.dumps(classes, ensure_ascii=False, indent=1))
            _write(self._records, _digest(records) + "\n")
        if not self._manifest.exists():  # older runs have none
            _write(self._manifest, records)

    def _clear(self, resume: bool) -> None:
        """Deletes what a run has left that ended before its first checkpoint."""
        ours = (self._classes, self._records, self._manifest, self.history, self.tensorboard)
        left = [path for path in ours if path.exists()]
        if left and not self.flags.exists():
            raise DataError(
                f"run_dir {self.path} holds {left[0].name}, which is of no run: give another"
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

    def _check_same(self, flags: dict[str, str], changeable: set[str]) -> None:
        before: dict[str, list[str]] = {}
        try:
            lines = self.flags.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.flags} is missing or damaged: {error}") from None
        for line in lines:
            name = line.lstrip("-").split("=")[0]
            known = name in flags or not name.startswith("no")
            before.setdefault(name if known else name[2:], []).append(line)
        for name in sorted({*before, *flags} - changeable):
            was, says = " ".join(before.get(name, ())), flags.get(name, "")
            if was != " ".join(says.splitlines()):
                raise UsageError(
                    f"--resume: the run was started with {was or 'no --' + name}, "
                    f"this command says {says or 'nothing of it'}"
                )

    def _check_records(self, records: str, data: str) -> None:
        try:
            was = self._records.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._records} is missing or damaged: {error}") from None
        if was != _digest(records):
            raise DataError(
                f"{data} holds other records than run {self.path} was started with: the sha256 of "
                f"their manifest is {_digest(records)}, that of the run's {was}"
            )

    def check_classes(self, classes: list[str], data: str) -> None:
        """Refuses shards with another class list than the run's.

        Raises:
            DataError: they have one.
        """
        known = self.classes()
        if known != classes:
            differ = [f"{a!r} is {b!r}" for a, b in zip(known, classes) if a != b]
            first = differ[0] if differ else f"{len(known)} are {len(classes)}"
            raise DataError(
                f"{data} has another class list than run {self.path}: in the shards {first}"
            )

    def manifest(self) -> Manifest:
        """The manifest of the shards that it was trained on.

        Raises:
            DataError: it is not there, or damaged.
        """
        try:
            text = self._manifest.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{self._manifest}: {reason}; where it is missing, rlstm_tf.train "
                f"--flagfile={self.flags} --resume writes it"
            ) from None
        self._check_records(text, str(self._manifest))
        return Manifest.from_json(text, str(self._manifest))

    def classes(self) -> list[str]:
        """Class names in the order of the logits.

        Raises:
            DataError: there is no run here.
        """
        try:
            found = json.loads(self._classes.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, list):
            raise DataError(f"{self.path} holds no run: {self._classes} is missing or damaged")
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    with writing(path):
        write_whole(path, text.encode())

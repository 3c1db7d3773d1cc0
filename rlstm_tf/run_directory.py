"""The directory of one training run: who may write into it, and what it was started with.

run_dir/flags.cfg       runs the same thing again
run_dir/classes.json    class names in the order of the logits
run_dir/checkpoints/    step-NNNNNNNNN.npz, best.npz
run_dir/history.csv     a row an epoch
run_dir/tensorboard/    scalars
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from rlstm_tf.errors import DataError, UsageError


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
        self._lock: IO | None = None

    def has_checkpoint(self) -> bool:
        """Whether it holds a run that can be continued."""
        return any(self.checkpoints.glob("*.npz"))

    def claim(self, flags: dict[str, str], resume: bool, changeable: set[str]) -> None:
        """Makes it this process's own: for a new run, or to continue the one it holds.

        Args:
            flags: name to serialized `--name=value` of the command.
            resume: continue the run if there is one.
            changeable: names of flags that may differ when a run is continued.

        Raises:
            DataError: it cannot be written, or another training has it.
            UsageError: it holds a run and `resume` is False, or was started with other flags.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"run_dir {self.path} is in use by another training") from None
        except OSError as error:
            raise DataError(f"run_dir {self.path} cannot be written: {error.strerror}") from error
        if self.has_checkpoint():
            if not resume:
                raise UsageError(
                    f"run_dir {self.path} already holds a run: --resume continues it, "
                    "another --run_dir starts a new one"
                )
            self._check_same(flags, changeable)
        else:  # a run that ended before its first checkpoint leaves nothing to protect
            for path in (self._classes, self.history):
                path.unlink(missing_ok=True)
        _write(self.flags, "\n".join(flags.values()) + "\n")

    def _check_same(self, flags: dict[str, str], changeable: set[str]) -> None:
        before: dict[str, list[str]] = {}
        for line in self.flags.read_text().splitlines():
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

    def check_classes(self, classes: list[str], data: str) -> None:
        """Records the class names of a run that is claimed and new; refuses others of an old one.

        Raises:
            DataError: the shards have another class list than the run.
        """
        if self._lock is not None and not self._classes.exists():
            _write(self._classes, json.dumps(classes, ensure_ascii=False, indent=1))
        known = self.classes()
        if known != classes:
            differ = [f"{a!r} is {b!r}" for a, b in zip(known, classes) if a != b]
            first = differ[0] if differ else f"{len(known)} are {len(classes)}"
            raise DataError(
                f"{data} has another class list than run {self.path}: in the shards {first}"
            )

    def classes(self) -> list[str]:
        """Class names in the order of the logits.

        Raises:
            DataError: there is no run here.
        """
        try:
            return json.loads(self._classes.read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path} holds no run: {self._classes} is missing or damaged"
            ) from error


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)

"""Directory of one search: its lock, what it was started with, and its state.

output/search.json    flags of the search, and the state that it resumes from
output/trials/NNNN/   run of a trial (`rlstm_tf.runs.directory`), and train.log
output/trials.csv     table of the trials
output/best.cfg       flags of the best one
output/best/          run of a training with them
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say
from rlstm_tf.storage.atomic import PARTIAL, write_atomic, writing
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.files import read_text
from rlstm_tf.storage.json_values import parse_json
from rlstm_tf.storage.locks import lock_file


class SearchDirectory:
    """Directory of a search; `open` it first.

    Args:
        path: the directory.

    Attributes:
        state: JSON object that `save_state` stored last; empty = a new search.
        training_lock: file descriptor for a training to inherit; while it is open, no other search
            starts here.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.runs = self.path / "trials"
        self.table = self.path / "trials.csv"
        self.best = self.path / "best.cfg"
        self.best_run = self.path / "best"
        self.record = self.path / "search.json"
        self.state: dict[str, Any] = {}
        self.training_lock = -1
        self._started_with: dict[str, str] = {}

    @contextlib.contextmanager
    def open(self, started_with: dict[str, str], defaults: dict[str, str]) -> Iterator[None]:
        """Locks the directory and loads the state of its search.

        Waits until a training that a killed search left behind has ended.

        Args:
            started_with: what identifies the search: name -> text as a user gives it.
            defaults: the same, of a command line without arguments. A flag that the search does not
                record, as it is newer than the search, counts as its default.

        Raises:
            DataError: it cannot be written, is in use, or holds damaged or foreign files.
            UsageError: it holds a search that was started with something else.
        """
        with contextlib.ExitStack() as files:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                self._refuse_foreign_files()  # before anything is written
                in_use = f"output {self.path} is in use by another search"
                files.enter_context(lock_file(self.path / ".lock", in_use))
                waiting = "waiting for the training of a killed search to save and end"
                training = lock_file(self.path / ".training", in_use, waiting)
                self.training_lock = files.enter_context(training).fileno()
                self._load(started_with, defaults)
                for partial in self.path.glob("*" + PARTIAL):  # left by a killed process
                    partial.unlink(missing_ok=True)
                self.runs.mkdir(exist_ok=True)
            self.save_state(self.state)
            yield

    def save_state(self, state: dict[str, Any]) -> None:
        """Stores the state, a JSON object.

        Raises:
            DataError: it cannot be written; the state before is kept.
        """
        self.state = state
        content = with_checksum({"started_with": self._started_with, "state": state})
        self.write(self.record, json.dumps(content, indent=1) + "\n")

    def write(self, path: Path, text: str) -> None:
        """Replaces a file of the search atomically.

        Raises:
            DataError: it cannot be written.
        """
        with writing(path):
            write_atomic(path, text.encode())

    def _refuse_foreign_files(self) -> None:
        if self.record.exists():
            return
        ours = {self.runs, self.table, self.best, self.best_run}
        for path in sorted({*self.path.iterdir()} - ours):
            if not path.name.startswith(".") and PARTIAL not in path.name:
                raise DataError(
                    f"output {self.path} holds {path.name}, which no search wrote: give another "
                    "--output"
                )

    def _load(self, started_with: dict[str, str], defaults: dict[str, str]) -> None:
        self._started_with = started_with
        if not self.record.exists():
            return
        where = str(self.record)
        try:
            content = verify_checksum(parse_json(read_text(where), where), where)
            before = content["started_with"]
            # Before 0.2, the record was a list of trials, without the state of keras-tuner.
            trials = content["trials"] if "trials" in content else content["state"].get("trials")
            ended = any(trial["status"].lower() != "running" for trial in trials or ())
        except (OSError, ValueError, DataError, AttributeError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.record} is damaged: {error}. Delete it, and the same command goes through "
                "the runs in trials/ again"
            ) from None
        for name in sorted({*before, *started_with}):
            now = started_with.get(name)
            was = before.get(name, now if now == defaults.get(name) else None)
            if was == now:
                continue
            if not ended:
                # Perhaps its first training refused a flag. The runs stay: each refuses other
                # flags by itself.
                return
            raise UsageError(
                f"output {self.path} holds a search that was started with "
                f"{was or f'no --{name}'}, this command has {now or f'no --{name}'}: give another "
                "--output"
            )
        if "state" in content:
            self.state = content["state"]
        elif ended:
            say(f"{self.record} is from an earlier version: going through the runs in trials/")

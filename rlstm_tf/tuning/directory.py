"""The directory of one search: who may write into it, what it was started with, what it has found.

output/search.json    what the search was started with, and its trials: all that it goes on from
output/trials/NNNN/   the run of a trial (`rlstm_tf.runs.directory`), and train.log
output/trials.csv     the trials as a table
output/best.cfg       flags of the best one
output/best/          the run of whoever trains with them
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.atomic import PARTIAL, write_atomic, writing
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.json_values import parse_json
from rlstm_tf.storage.locks import lock_file
from rlstm_tf.tuning.trial import RUNNING, Trial


class SearchDirectory:
    """A search's directory; `claim` it first.

    Args:
        path: of the directory.

    Attributes:
        trials: number -> trial, of those that have begun.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.runs = self.path / "trials"
        self.table = self.path / "trials.csv"
        self.best = self.path / "best.cfg"
        self.best_run = self.path / "best"
        self.trials: dict[int, Trial] = {}
        self._record = self.path / "search.json"
        self._started_with: dict[str, str] = {}
        self._training_lock: IO[str]

    @contextlib.contextmanager
    def claimed(self, started_with: dict[str, str]) -> Iterator[None]:
        """Makes it this process's own, for a new search or to go on with the one it holds.

        Waits for a training that a killed search has left to end.

        Args:
            started_with: what makes it this search and no other: name to text as a user gives it.

        Raises:
            DataError: it cannot be written, another search has it, or what it holds is damaged or
                of something else.
            UsageError: it holds a search that was started with something else.
        """
        with contextlib.ExitStack() as files:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                # First of all: nothing is left in a directory of something else.
                self._check_ours()
                in_use = f"output {self.path} is in use by another search"
                files.enter_context(lock_file(self.path / ".lock", in_use))
                waiting = "waits for the training of a killed search to save and end"
                training = lock_file(self.path / ".training", in_use, waiting)
                self._training_lock = files.enter_context(training)
                self._read(started_with)
                for partial in self.path.glob("*" + PARTIAL):  # of a process that was killed
                    partial.unlink(missing_ok=True)
                self.runs.mkdir(exist_ok=True)
            self._write()
            yield

    @property
    def hold(self) -> int:
        """Descriptor that a training inherits: as long as it lives no other search begins here."""
        return self._training_lock.fileno()

    def run_dir(self, trial: Trial) -> Path:
        """Of a trial."""
        return self.runs / trial.name

    def put(self, trial: Trial) -> None:
        """Keeps what is known of a trial.

        Raises:
            DataError: it cannot be written.
        """
        self.trials[trial.number] = trial
        self._write()

    def write(self, path: Path, text: str) -> None:
        """Writes a file of the search.

        Raises:
            DataError: it cannot be written; it is as it was.
        """
        with writing(path):
            write_atomic(path, text.encode())

    def copy_run(self, source: Trial, trial: Trial) -> None:
        """Gives a trial the run of another to go on with, unless it has it.

        Raises:
            DataError: it cannot be written.
        """
        place = self.run_dir(trial)
        partial = place.with_name(place.name + PARTIAL)
        with writing(place):
            if not place.exists():
                shutil.rmtree(partial, ignore_errors=True)
                leave = shutil.ignore_patterns(".lock", "train.log", "*" + PARTIAL)
                shutil.copytree(self.run_dir(source), partial, ignore=leave)
                partial.rename(place)

    def _check_ours(self) -> None:
        if self._record.exists():
            return
        ours = {self.runs, self.table, self.best, self.best_run, self._record}
        for path in sorted({*self.path.iterdir()} - ours):
            if not path.name.startswith(".") and PARTIAL not in path.name:
                raise DataError(
                    f"output {self.path} holds {path.name}, which is of no search: give another"
                )

    def _read(self, started_with: dict[str, str]) -> None:
        self._started_with = started_with
        if not self._record.exists():
            return
        before, trials = self._load()
        over = any(trial.status != RUNNING for trial in trials)
        for name in sorted({*before, *started_with}):
            was, says = before.get(name), started_with.get(name)
            if was != says:
                if not over:
                    # Perhaps because of a flag that its first training has refused. The runs stay:
                    # each refuses by itself to be continued with other flags.
                    return
                raise UsageError(
                    f"output {self.path} holds a search that was started with "
                    f"{was or 'no --' + name}, this command says {says or 'nothing of it'}: "
                    "give another"
                )
        self.trials = {trial.number: trial for trial in trials}

    def _load(self) -> tuple[dict[str, str], list[Trial]]:
        where = str(self._record)
        try:
            content = verify_checksum(parse_json(self._record.read_bytes(), where), where)
            return content["started_with"], [Trial(**trial) for trial in content["trials"]]
        except (DataError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._record} is damaged: {error}. Delete it, and the same command goes through "
                "the runs in trials/ again"
            ) from None

    def _write(self) -> None:
        trials = [dataclasses.asdict(self.trials[number]) for number in sorted(self.trials)]
        content = with_checksum({"started_with": self._started_with, "trials": trials})
        self.write(self._record, json.dumps(content, indent=1) + "\n")

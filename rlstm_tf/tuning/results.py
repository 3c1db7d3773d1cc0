"""Results of a search: its trials as a table, and the best one as a flag file."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlstm_tf.storage.spreadsheets import as_text
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.space import Value

ENDED, FAILED = "ended", "failed"
_COLUMNS = ("name", "status", "score", "loss", "epochs", "after")


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: counts from 1, in the order of the starts.
        settings: value of each flag that is searched.
        epochs: epochs in all, those of the trial that it was resumed from included.
        after: number of the trial that it was resumed from; None = it started by itself.
        status: `ENDED` or `FAILED`.
        score: objective after the last epoch; None = failed.
        loss: validation loss after the last epoch; None = failed.
        reason: why it failed, or was not trained.
    """

    number: int
    settings: dict[str, Value]
    epochs: int
    after: int | None = None
    status: str = FAILED
    score: float | None = None
    loss: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Name of its directory."""
        return f"{self.number:04d}"


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """Returns the trial with the best score; ties go to the smaller loss, then the first."""
    ended = [trial for trial in trials if trial.score is not None]

    def order(trial: Trial) -> tuple[float, float, int]:
        return (-(trial.score or 0.0), trial.loss or 0.0, trial.number)

    return min(ended, key=order, default=None)


def table(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """Formats `trials.csv`.

    Args:
        trials: in any order.
        names: flags that are searched.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["trial", *_COLUMNS[1:], *names, "reason"])
    for trial in sorted(trials, key=lambda trial: trial.number):
        cells = [getattr(trial, column) for column in _COLUMNS]
        cells += [*(trial.settings[name] for name in names), trial.reason]
        writer.writerow(map(as_text, cells))
    return text.getvalue()


def best_flags(
    best: Trial,
    count: int,
    about: str,
    objective: str,
    base: Mapping[str, str],
    directory: SearchDirectory,
) -> str:
    """Formats `best.cfg`, a flag file that repeats the best trial.

    Args:
        best: the trial.
        count: number of finished trials.
        about: tuner and flags searched, for the heading.
        objective: name of the score.
        base: flags of the training, name to `--name=value`.
        directory: directory of the search.
    """
    texts = {**base, **trial_flags(best), "run_dir": f"--run_dir={directory.best_run}"}
    command = ["python", "-m", "rlstm_tf.train", f"--flagfile={directory.best}"]
    head = [
        f"{objective} {best.score:.4f} after epoch {best.epochs}: the best of {count} trials,",
        f"{about}. Its own run is {directory.runs / best.name}; to repeat it:",
        f"  {shlex.join(command)}",
    ]
    lines = [f"# {line}" for line in head] + [texts[name] for name in sorted(texts)]
    return "\n".join(lines) + "\n"


def trial_flags(trial: Trial) -> dict[str, str]:
    """Returns the flags that a trial sets, name to `--name=value`."""
    values = {**trial.settings, "epochs": trial.epochs}
    return {name: f"--{name}={value!r}" for name, value in values.items()}

"""What a search has found: its trials as a table, and the best one as a flag file."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence

from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.trial import Trial


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The one with the best score; of equal ones that with the smaller loss, then the first."""
    ended = [trial for trial in trials if trial.score is not None]

    def order(trial: Trial) -> tuple[float, float, int]:
        return (-(trial.score or 0.0), trial.loss or 0.0, trial.number)

    return min(ended, key=order, default=None)


def table(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """`trials.csv`.

    Args:
        trials: in any order.
        names: of the flags that are searched.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    columns = ("status", "score", "loss", "epochs", "after")
    writer.writerow(["trial", *columns, *names, "reason"])
    for trial in sorted(trials, key=lambda trial: trial.number):
        settings = [trial.settings[name] for name in names]
        cells = [getattr(trial, column) for column in columns]
        cells = ["" if cell is None else cell for cell in cells]
        writer.writerow([trial.name, *cells, *settings, trial.reason])
    return text.getvalue()


def best_flags(
    best: Trial,
    count: int,
    about: str,
    objective: str,
    base: Mapping[str, str],
    directory: SearchDirectory,
) -> str:
    """`best.cfg`: a flag file that trains what the best trial has trained.

    Args:
        best: the trial.
        count: of trials that are over.
        about: how they were found.
        objective: what the score is.
        base: the training's flags, name to `--name=value`.
        directory: of the search.
    """
    texts = {**base, **trial_flags(best), "run_dir": f"--run_dir={directory.best_run}"}
    head = [
        f"{objective} {best.score:.4f} after epoch {best.epochs}: the best of {count} trials,",
        f"{about}. Its own run is {directory.run_dir(best)}; the same again:",
        f"  python -m rlstm_tf.train --flagfile={shlex.quote(str(directory.best))}",
    ]
    lines = [f"# {line}" for line in head] + [texts[name] for name in sorted(texts)]
    return "\n".join(lines) + "\n"


def trial_flags(trial: Trial) -> dict[str, str]:
    """The flags that make a training the trial, name to `--name=value`."""
    values = {**trial.settings, "epochs": trial.epochs}
    return {name: f"--{name}={value!r}" for name, value in values.items()}

"""Runs the trials of a search, each at most once, and keeps what they have found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.errors import DataError
from rlstm_tf.tuning import process
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.results import best_flags, best_of, table, trial_flags
from rlstm_tf.tuning.space import Space
from rlstm_tf.tuning.trial import ENDED, FAILED, RUNNING, Trial

# Accuracies and mean average precisions go from here to 1.
WORST = 0.0


@dataclass(frozen=True)
class Plan:
    """What a search is to do.

    Attributes:
        tuner: `hyperband`, `bayesian` or `random`.
        space: what is searched.
        flags: of every training, name to `--name=value`; a trial's own replace them.
        objective: column of `history.csv`: `val_accuracy` or `val_map`.
        epochs: of a trial; with Hyperband of the longest.
        seed: of what is drawn.
        max_trials: random and Bayesian search end after so many.
        factor: Hyperband goes on with one of so many trials, for so many times the epochs.
    """

    tuner: str
    space: Space
    flags: Mapping[str, str]
    objective: str
    epochs: int
    seed: int
    max_trials: int
    factor: int


class Trials:
    """The trials of a search, for whoever draws their settings.

    Args:
        plan: of the search.
        directory: claimed.
        count: of trials, as far as it is known.
        epochs: that all trials train together.
    """

    def __init__(self, plan: Plan, directory: SearchDirectory, count: int, epochs: int) -> None:
        self.plan = plan
        self.directory = directory
        self.count = count
        done = sum(self._new_epochs(trial) for trial in self._over())
        self.bar = progress_bar(max(epochs, done), "search", "epochs", initial=done)

    def score(self, trial: Trial) -> float:
        """The score of a trial: it is trained unless it has been before.

        Args:
            trial: its number, settings, epochs, and what it goes on from.

        Returns:
            The objective after its last epoch; `WORST` if it failed.

        Raises:
            DataError: the search was drawn otherwise before; or whatever ends the search.
        """
        known = self.directory.trials.get(trial.number)
        if known is None or known.status == RUNNING:
            self.directory.put(trial)
            known = self._tried(trial)
            self.directory.put(known)
            self._show(known)
        elif (known.epochs, known.after) != (trial.epochs, trial.after):
            raise DataError(
                f"{self.directory.path}: trial {known.name} is of {known.epochs} epochs, this "
                f"keras-tuner wants {trial.epochs} there: go on with the one that began the search"
            )
        self._write_results()
        return WORST if known.score is None else known.score

    def best(self) -> Trial:
        """The best one.

        Raises:
            DataError: none has ended.
        """
        self.bar.close()
        best = best_of(self._over())
        if best is None:
            failed = self._over()[-1]
            raise DataError(f"none of the {len(self._over())} trials ended: {failed.reason}")
        return best

    def _over(self) -> list[Trial]:
        return [trial for trial in self.directory.trials.values() if trial.status != RUNNING]

    def _new_epochs(self, trial: Trial) -> int:
        before = self.directory.trials[trial.after].epochs if trial.after else 0
        return trial.epochs - before

    def _tried(self, trial: Trial) -> Trial:
        """The trial with its result."""
        source = self.directory.trials[trial.after] if trial.after else None
        if source and source.status == FAILED:
            return _failed(trial, f"so did trial {source.name}")
        for other in self._over():
            # The seed is the same too.
            if (other.settings, other.epochs) == (trial.settings, trial.epochs):
                result = dataclasses.replace(other, number=trial.number, after=trial.after)
                return dataclasses.replace(result, reason=f"the same as trial {other.name}")
        if source:
            self.directory.copy_run(source, trial)
        try:
            last = self._train(trial)
        except process.FailedError as error:
            return _failed(trial, str(error))
        score = last.get(self.plan.objective)
        if score is None or math.isnan(score):
            raise DataError(f"the validation set gives no {self.plan.objective}: {score}")
        return dataclasses.replace(trial, status=ENDED, score=score, loss=last.get("val_loss"))

    def _train(self, trial: Trial) -> dict[str, float]:
        # One checkpoint is enough to go on from, and there are many trials.
        own = {"keep_checkpoints": "--keep_checkpoints=1", **trial_flags(trial)}
        done = self.bar.n
        before = trial.epochs - self._new_epochs(trial)

        def seen(epochs: int) -> None:
            self.bar.update(max(0, done + epochs - before - self.bar.n))

        return process.train(
            self.directory.run_dir(trial),
            list({**self.plan.flags, **own}.values()),
            trial.epochs,
            self.directory.hold,
            seen,
        )

    def _show(self, trial: Trial) -> None:
        """One line, above the bar."""
        best = best_of(self._over())
        what = f"failed: {trial.reason}"
        if trial.score is not None:
            what = f"{self.plan.objective} {trial.score:.4f} after epoch {trial.epochs}"
        after = f", on from {trial.after}" if trial.after else ""
        said = f"best {best.score:.4f}, trial {best.number}" if best else "none has ended"
        line = f"trial {trial.number}/{self.count}{after}: {trial.described()}: {what} ({said})"
        self.bar.update(sum(map(self._new_epochs, self._over())) - self.bar.n)
        self.bar.write(line)

    def _write_results(self) -> None:
        """The table, and the flags of the best one so far."""
        over, path = self._over(), self.directory
        path.write(path.table, table(over, list(self.plan.space)))
        best = best_of(over)
        if best is not None:
            about = f"{self.plan.tuner} over {', '.join(self.plan.space)}"
            objective, base = self.plan.objective, self.plan.flags
            path.write(path.best, best_flags(best, len(over), about, objective, base, path))


def _failed(trial: Trial, reason: str) -> Trial:
    return dataclasses.replace(trial, status=FAILED, reason=reason)

"""Runs the trials of a search, whose settings keras-tuner draws (`oracle`)."""

from __future__ import annotations

import math
import shlex
import shutil
from typing import Any

from rlstm_tf.cli.terminal import progress_bar, say_above
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.storage.atomic import PARTIAL, writing
from rlstm_tf.tuning import process
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.oracle import Plan, end_trial, make_oracle, next_trial
from rlstm_tf.tuning.results import ENDED, FAILED, Trial, best_flags, best_of, table, trial_flags

# Accuracy and mean average precision range from this to 1.
WORST = 0.0
# Step at which keras-tuner gets the score of a failed trial; others have their last epoch.
_NO_EPOCH = 0


def run(plan: Plan, directory: SearchDirectory) -> Trial:
    """Runs the search to its end, from where the directory is up to.

    Args:
        plan: the search.
        directory: opened for it.

    Returns:
        The best trial.

    Raises:
        DataError, UsageError: a training failed for a reason other than its settings, or no trial
            succeeded.
        KeyboardInterrupt, rlstm_tf.training.preemption.Stopped: the current training has saved.
    """
    lengths = planned_epochs(plan)
    say(
        f"search: {plan.tuner}, {len(lengths)} trials, {sum(lengths)} epochs in all",
        f"TensorBoard: {shlex.join(['tensorboard', '--logdir', str(directory.runs)])}",
    )
    return _Search(plan, directory, lengths).run()


def planned_epochs(plan: Plan) -> list[int]:
    """Returns the epochs that each trial adds, from a dry run: no score changes their number."""
    if plan.tuner == "bayesian":  # a dry run takes seconds a trial
        return [plan.epochs] * plan.max_trials
    oracle, lengths = make_oracle(plan), []
    while trial := next_trial(oracle):
        values = trial.hyperparameters.values
        lengths.append(values.get("tuner/epochs", plan.epochs))
        lengths[-1] -= values.get("tuner/initial_epoch", 0)
        end_trial(oracle, trial, {plan.objective: WORST}, _NO_EPOCH)
    return lengths


class _Search:
    def __init__(self, plan: Plan, directory: SearchDirectory, lengths: list[int]) -> None:
        self.plan, self.directory, self.planned = plan, directory, len(lengths)
        self.oracle = make_oracle(plan, directory)
        self.trials: dict[int, Trial] = {}
        for trial in self.oracle.trials.values():
            if trial.status == "COMPLETED":
                self._add(trial)
        done = sum(map(self._new_epochs, self.trials.values()))
        self.bar = progress_bar(max(done, sum(lengths)), "search", "epochs", initial=done)

    def run(self) -> Trial:
        with self.bar:
            if self.trials:
                self._write_results()
            while drawn := next_trial(self.oracle):
                self._run_trial(drawn)
        best = best_of(self.trials.values())
        if best is None:
            *_, last = self.trials.values()
            raise DataError(f"none of the {len(self.trials)} trials ended: {last.reason}")
        return best

    def _add(self, drawn: Any) -> Trial:
        """Converts a trial of keras-tuner's, and keeps it if it is over."""
        values, metrics = drawn.hyperparameters.values, drawn.metrics
        source = values.get("tuner/trial_id")
        ended = drawn.best_step != _NO_EPOCH
        trial = Trial(
            number=int(drawn.trial_id) + 1,
            settings={name: values[name] for name in self.plan.space},
            epochs=values.get("tuner/epochs", self.plan.epochs),
            after=None if source is None else int(source) + 1,
            status=ENDED if ended else FAILED,
            score=float(drawn.score) if ended else None,
            loss=float(metrics.get_best_value("val_loss")) if metrics.exists("val_loss") else None,
            reason=drawn.message or "",
        )
        if drawn.status == "COMPLETED":
            self.trials[trial.number] = trial
        return trial

    def _run_trial(self, drawn: Any) -> None:
        trial = self._add(drawn)
        try:
            score, loss, drawn.message = self._score(trial)
            metrics = {self.plan.objective: score, **({} if loss is None else {"val_loss": loss})}
            end_trial(self.oracle, drawn, metrics, trial.epochs)
        except process.FailedError as error:
            # keras-tuner's own FAILED would leave Hyperband's rounds short.
            drawn.message = str(error)
            end_trial(self.oracle, drawn, {self.plan.objective: WORST}, _NO_EPOCH)
        self._show(self._add(drawn))
        self._write_results()

    def _score(self, trial: Trial) -> tuple[float, float | None, str]:
        """Returns score, loss and a note; trains unless an equal trial has been trained."""
        source = self.trials[trial.after] if trial.after else None
        if source and source.status == FAILED:
            raise process.FailedError(f"so did trial {source.name}")
        for other in self.trials.values():
            if (other.settings, other.epochs) == (trial.settings, trial.epochs):
                if other.score is None:
                    raise process.FailedError(f"the same as trial {other.name}")
                return other.score, other.loss, f"the same as trial {other.name}"
        if source:
            _copy_run(self.directory, source, trial)
        # One checkpoint is enough to resume from, and there are many trials.
        own = {"keep_checkpoints": "--keep_checkpoints=1", **trial_flags(trial)}
        done = self.bar.n - (trial.epochs - self._new_epochs(trial))
        row = process.train(
            self.directory.runs / trial.name,
            list({**self.plan.flags, **own}.values()),
            trial.epochs,
            self.directory.training_lock,
            lambda epochs: self.bar.update(max(0, done + epochs - self.bar.n)),
        )
        score = row.get(self.plan.objective, math.nan)
        if math.isnan(score):
            raise DataError(f"the validation set gives no {self.plan.objective}: {score}")
        return score, row.get("val_loss"), ""

    def _new_epochs(self, trial: Trial) -> int:
        return trial.epochs - (self.trials[trial.after].epochs if trial.after else 0)

    def _show(self, trial: Trial) -> None:
        """Prints one line above the bar."""
        best = best_of(self.trials.values())
        result = f"failed: {trial.reason}"
        if trial.score is not None:
            result = f"{self.plan.objective} {trial.score:.4f} after epoch {trial.epochs}"
        after = f", resumed from {trial.after}" if trial.after else ""
        settings = ", ".join(f"{name} {value:g}" for name, value in trial.settings.items())
        best_text = f"best {best.score:.4f}, trial {best.number}" if best else "no score yet"
        self.bar.update(sum(map(self._new_epochs, self.trials.values())) - self.bar.n)
        say_above(
            self.bar,
            f"trial {trial.number}/{self.planned}{after}: {settings}: {result} ({best_text})",
        )

    def _write_results(self) -> None:
        """Writes trials.csv, and best.cfg once a trial has ended."""
        trials, plan, directory = list(self.trials.values()), self.plan, self.directory
        directory.write(directory.table, table(trials, list(plan.space)))
        best = best_of(trials)
        if best is not None:
            about = f"{plan.tuner} over {', '.join(plan.space)}"
            text = best_flags(best, len(trials), about, plan.objective, plan.flags, directory)
            directory.write(directory.best, text)


def _copy_run(directory: SearchDirectory, source: Trial, trial: Trial) -> None:
    """Starts a trial from a copy of another's run, so that both stay complete."""
    path = directory.runs / trial.name
    partial = path.with_name(path.name + PARTIAL)
    with writing(path):
        if not path.exists():
            shutil.rmtree(partial, ignore_errors=True)
            ignore = shutil.ignore_patterns(".lock", process.LOG, "*" + PARTIAL)
            shutil.copytree(directory.runs / source.name, partial, ignore=ignore)
            partial.rename(path)

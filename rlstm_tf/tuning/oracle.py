"""Draws the settings of trials with keras-tuner, and saves its state atomically."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np

from rlstm_tf.errors import DataError
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.space import Interval, Space

_ORACLES = {
    "hyperband": keras_tuner.oracles.HyperbandOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
}


@dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
        tuner: `hyperband`, `bayesian` or `random`.
        space: ranges and choices by flag.
        flags: flags of every training, name to `--name=value`; those of a trial replace them.
        objective: column of `history.csv` to maximize: `val_accuracy` or `val_map`.
        epochs: epochs of a trial; with Hyperband of the longest.
        seed: seed of the draws.
        max_trials: number of trials, random and Bayesian.
        factor: Hyperband promotes one of `factor` trials, to `factor` times the epochs.
    """

    tuner: str
    space: Space
    flags: Mapping[str, str]
    objective: str
    epochs: int
    seed: int
    max_trials: int
    factor: int


def next_trial(oracle: Any) -> Any:
    """Returns the trial to run, an interrupted one first; None at the end of the search."""
    with warnings.catch_warnings():
        # Deprecated names in keras-tuner, and scikit-learn's about few trials.
        warnings.simplefilter("ignore")
        trial = oracle.create_trial("search")
    return None if trial.status == "STOPPED" else trial


def end_trial(oracle: Any, trial: Any, metrics: dict[str, float], epoch: int) -> None:
    """Tells keras-tuner the result of a trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle.update_trial(trial.trial_id, metrics, epoch)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def make_oracle(plan: Plan, directory: SearchDirectory | None = None) -> Any:
    """Makes keras-tuner's oracle, with its state of `directory`; without one it saves nothing."""
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(plan.objective, "max"),
        "hyperparameters": _hyperparameters(plan.space),
        # keras-tuner replaces 0 by a random seed; NumPy takes less than 2^32.
        "seed": 1 + plan.seed % (2**32 - 2),
    }
    if plan.tuner == "hyperband":
        options.update(max_epochs=plan.epochs, factor=plan.factor)
    else:
        options["max_trials"] = plan.max_trials
    if plan.tuner == "bayesian":
        # keras-tuner's default, three times as many, would leave most searches random.
        options["num_initial_points"] = max(3, len(plan.space) + 1)
    oracle = _saved_atomically(_ORACLES[plan.tuner])(**options)
    oracle.verbose, oracle.space, oracle.search_directory = 0, plan.space, directory
    if directory is not None and directory.state:
        try:
            oracle.restore(directory.state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{directory.record} was written with another version of keras-tuner ({error!r}): "
                "resume with that version, or give another --output"
            ) from None
    return oracle


def _saved_atomically(oracle_class: Any) -> Any:
    """Keeps an oracle's state in one file, replaced atomically.

    keras-tuner itself writes several files in place, so that a kill can leave half of one, and
    leaves out the random state of its Bayesian search.
    """

    class SavedOracle(oracle_class):
        space: Space
        search_directory: SearchDirectory | None

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            if hasattr(self, "_random_state"):
                # Depends on the trial's number only, so that it need not be saved.
                self._random_state = np.random.RandomState((self.seed + len(self.trials)) % 2**32)
            response = super().populate_space(trial_id)
            for name, value in (response.get("values") or {}).items():
                if name in self.space:
                    response["values"][name] = self.space[name].rounded(value)
            return response

        def save(self) -> None:
            if self.search_directory is not None:
                trials = [trial.get_state() for trial in self.trials.values()]
                self.search_directory.save_state({"oracle": self.get_state(), "trials": trials})

        def _save_trial(self, trial: Any) -> None:
            """Leaves it to `save`."""

        def restore(self, state: dict[str, Any]) -> None:
            trials = map(keras_tuner.engine.trial.Trial.from_state, state["trials"])
            self.trials = {trial.trial_id: trial for trial in trials}
            self.set_state(state["oracle"])
            # keras-tuner would run one again that ended just before the kill.
            self._retry_queue = [
                number for number, trial in self.trials.items() if trial.status == "RUNNING"
            ]
            self.ongoing_trials: dict[str, Any] = {}

    return SavedOracle


def _hyperparameters(space: Space) -> Any:
    hyperparameters = keras_tuner.HyperParameters()
    for name, values in space.items():
        if isinstance(values, Interval):
            sampling = "log" if values.logarithmic else "linear"
            hyperparameters.Float(name, values.low, values.high, sampling=sampling)
        else:
            hyperparameters.Choice(name, list(values.values))
    return hyperparameters

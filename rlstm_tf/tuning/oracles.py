"""Who draws the settings of the trials: keras-tuner's oracles, and its loop around them.

Their own files are not used: they are written in place, so that a kill leaves half of one, and do
not hold the random state of the Bayesian search. Here a search that goes on is drawn again from the
start, with the results of the trials that are over (`rlstm_tf.tuning.directory`), and so comes to
where it was.
"""

from __future__ import annotations

import shlex
import warnings
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine import base_tuner
from keras_tuner.errors import FatalError

from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.space import Interval, Space
from rlstm_tf.tuning.trial import Trial
from rlstm_tf.tuning.trials import WORST, Plan, Trials

_CLASSES = {
    "hyperband": keras_tuner.oracles.HyperbandOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
}
_STOPPED = "STOPPED"


def search(plan: Plan, directory: SearchDirectory) -> Trial:
    """Searches to the end, from where the directory is up to.

    Returns:
        The best trial.

    Raises:
        DataError, UsageError: a training ended with an error that is not the settings' fault.
        KeyboardInterrupt, rlstm_tf.training.preemption.Stopped: the training under way has saved.
    """
    lengths = planned(plan)
    print(
        f"search: {plan.tuner}, {len(lengths)} trials, {sum(lengths)} epochs in all\n"
        f"TensorBoard: tensorboard --logdir {shlex.quote(str(directory.runs))}",
        flush=True,
    )
    trials = Trials(plan, directory, len(lengths), sum(lengths))
    tuner = _Tuner(_oracle(plan, directory), plan, trials)
    try:
        with warnings.catch_warnings():
            # Of keras-tuner's old names, and of scikit-learn over what few trials say.
            warnings.simplefilter("ignore")
            tuner.search(verbose=0)
    except FatalError as error:
        raise error.__cause__ or error from None
    finally:
        trials.bar.close()
    return trials.best()


def planned(plan: Plan) -> list[int]:
    """Epochs of each trial to come, those of the trial that it goes on from not counted.

    Found by a search in which all trials are as good: how many there are depends on no score.
    """
    if plan.tuner == "bayesian":
        return [plan.epochs] * plan.max_trials
    oracle, lengths = _oracle(plan), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while (trial := oracle.create_trial("planned")).status != _STOPPED:
            values = trial.hyperparameters.values
            epochs = values.get("tuner/epochs", plan.epochs)
            lengths.append(epochs - values.get("tuner/initial_epoch", 0))
            oracle.update_trial(trial.trial_id, {plan.objective: WORST})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return lengths


class _Tuner(base_tuner.BaseTuner):
    """keras-tuner's loop over trials that are run elsewhere."""

    def __init__(self, oracle: Any, plan: Plan, trials: Trials) -> None:
        super().__init__(oracle, directory=trials.directory.path, project_name="trials")
        self.plan = plan
        self.trials = trials

    def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
        """Of one of keras-tuner's trials."""
        values = trial.hyperparameters.values
        source = values.get("tuner/trial_id")
        settings = {name: values[name] for name in self.plan.space}
        epochs = values.get("tuner/epochs", self.plan.epochs)
        after = None if source is None else _number(source)
        try:
            score = self.trials.score(Trial(_number(trial.trial_id), settings, epochs, after))
        except Exception as error:
            # Any other would count as the trial's, and the search go on.
            raise FatalError from error
        return {self.plan.objective: score}

    def save(self) -> None:
        """Nothing: see above."""


def _number(trial_id: str) -> int:
    """keras-tuner counts from 0."""
    return int(trial_id) + 1


def _oracle(plan: Plan, directory: SearchDirectory | None = None) -> Any:
    """Draws the same for the same results; what a directory holds is not drawn again."""
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(plan.objective, "max"),
        "hyperparameters": _hyperparameters(plan.space),
        # 0 would be another each time, and 2^32 is too much for NumPy.
        "seed": 1 + plan.seed % (2**32 - 2),
        # All trials are reported, those that failed with the worst score.
        "max_consecutive_failed_trials": None,
    }
    if plan.tuner == "hyperband":
        options.update(max_epochs=plan.epochs, factor=plan.factor)
    else:
        options["max_trials"] = plan.max_trials
    if plan.tuner == "bayesian":
        # keras-tuner's own three times as many would leave most searches random.
        options["num_initial_points"] = max(3, len(plan.space) + 1)
    oracle = _recorded(_CLASSES[plan.tuner])(**options)
    oracle.space, oracle.known = plan.space, directory.trials if directory else {}
    oracle.verbose = 0
    return oracle


def _recorded(oracle_class: Any) -> Any:
    """An oracle that keeps no files, rounds what it draws, and draws what it has drawn before."""

    class Recorded(oracle_class):
        space: Space
        known: dict[int, Trial]

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            known = self.known.get(_number(trial_id))
            count = len(self.trials)
            if hasattr(self, "_random_state"):
                # Of the Bayesian search: by the number of the trial, not by how many were drawn.
                self._random_state = np.random.RandomState((self.seed + count) % 2**32)
                if known and count >= self.num_initial_points:
                    # Seconds each, and perhaps not to the last bit the same on another machine.
                    return {"status": "RUNNING", "values": dict(known.settings)}
            response = super().populate_space(trial_id)
            values = response.get("values") or {}
            for name in self.space:
                if name in values:
                    rounded = self.space[name].rounded(values[name])
                    values[name] = known.settings[name] if known else rounded
            return response

        def save(self) -> None:
            pass

        def _save_trial(self, trial: Any) -> None:
            pass

    return Recorded


def _hyperparameters(space: Space) -> Any:
    hyperparameters = keras_tuner.HyperParameters()
    for name, values in space.items():
        if isinstance(values, Interval):
            sampling = "log" if values.logarithmic else "linear"
            hyperparameters.Float(name, values.low, values.high, sampling=sampling)
        else:
            hyperparameters.Choice(name, list(values.values))
    return hyperparameters

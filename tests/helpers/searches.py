"""Spaces, plans, and searches without trainings."""

import csv
import math

import warm_python

from rlstm_tf.tuning import process, search
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.oracle import Plan
from rlstm_tf.tuning.space import search_space

BASE = {"model": "two_branch", "batch_norm": "population", "num_segments": 8}


def space(*texts, frames=100, channels=2048, **base):
    values = {"learning_rate": float, "dropout": float, "weight_decay": float}
    values.update(batch_norm_momentum=float, attention_scale=float, num_segments=int, units=int)
    return search_space(
        texts, {**BASE, **base}, lambda: channels, frames, lambda name, text: values[name](text)
    )


def plan(tuner, **more):
    fields = {"tuner": tuner, "space": space("learning_rate", "num_segments"), "seed": 0}
    fields.update(flags={"model": "--model=tsn"}, objective="val_accuracy", epochs=9)
    return Plan(**{**fields, "max_trials": 5, "factor": 3, **more})


def trained(run_dir, arguments, epochs, hold, seen):
    """Replaces a training by a function of its settings."""
    values = dict(argument.lstrip("-").split("=") for argument in arguments)
    rate = float(values["learning_rate"])
    if rate > 0.03:
        raise process.FailedError("the loss became nan at step 1, learning rate 0.1")
    run_dir.mkdir(exist_ok=True)
    accuracy = 0.9 / (1 + abs(math.log10(rate / 0.01))) * (1 - 0.5**epochs)
    return {"val_accuracy": accuracy, "val_loss": 1 - accuracy}


def searched(plan, output, monkeypatch, started=None, stop_after=None, begun=None, defaults=None):
    """Runs a search with `trained` for a training.

    Args:
        stop_after: number of trainings after which Ctrl-C comes in the next; None = never.
        begun: list to add to.

    Returns:
        Names of the trials that were trained.
    """
    begun = [] if begun is None else begun

    def train(run_dir, *arguments):
        begun.append(run_dir.name)
        if len(begun) - 1 == stop_after:
            raise KeyboardInterrupt
        return trained(run_dir, *arguments)

    monkeypatch.setattr(process, "train", train)
    directory = SearchDirectory(output)
    with directory.open(started or {"seed": "--seed=0"}, defaults or {}):
        try:
            search.run(plan, directory)
        except KeyboardInterrupt:
            assert stop_after is not None
    return begun


def rows(output):
    with (output / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run_warm(arguments, log, lock, poll):
    """Replaces `process._run`: the training is forked from a process with TensorFlow."""
    result = warm_python.run(["-m", "rlstm_tf.train", *arguments])
    with log.open("a") as file:
        file.write(result.stdout)
    return result.returncode

"""Spread of the attention of a trained Relational LSTM: w_ij of eq. 2, on videos of its test set.

    python -m benchmarks.attention --runs=runs/study/relations_matching/runs/winner_0.01_0,...
    python -m benchmarks.attention --runs=... --uniform_past

For each relation, spatial r(X_t, X_t) and temporal r(X_t, H_{t-1}), and each gate: exp of the
entropy of w_i, which is 1 if position i attends to one position and N if it attends to all N
equally; and w_ii, the weight of a position in its own sum, which is 1/N if all are equal. Means
over positions, snippets from the second on (the first has no past), and videos.

With --uniform_past, instead: the accuracy on the whole test set, as trained and with
w_ij = 1/N in r(X_t, H_{t-1}). Nothing else is changed, nor trained again: if the accuracy stays,
the network does not use where it attends to in the past. For the scenes of benchmarks.relations it
is that of groups of pairs, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from benchmarks.machine import print_heading
from rlstm_tf.cli import app, flags, input_flags
from rlstm_tf.cli.paths import define_path_list


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path_list("runs", [], "Directories of runs with a Relational LSTM.", **own)
    absl_flags.DEFINE_integer("videos", 60, "Videos, evenly spaced over the test set.", 1, **own)
    absl_flags.DEFINE_boolean(
        "uniform_past", False, "Accuracy with a mean in place of the attention to the past.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Prints a line for each relation of each run, or for each of its accuracies."""
    flags.require(values, "runs")
    app.load_tensorflow()
    print_heading("attention")
    if values.uniform_past:
        for path in map(Path, values.runs):
            for past, shares in _accuracies(path).items():
                numbers = ", ".join(f"{name} {100 * share:.1f}" for name, share in shares.items())
                print(f"{path.name:24}{past:10}{numbers}", flush=True)
        return
    gates = "".join(f"{gate:>7}" for gate in "ifog")
    print(f"{'':36}{'attended positions':^28}{'own weight':^28}")
    print(f"{'run':24}{'relation':12}{gates}{gates}")
    for path in map(Path, values.runs):
        found, num_positions = _measure(path, values.videos)
        for relation, (attended, own) in found.items():
            numbers = "".join(f"{value:7.1f}" for value in attended)
            numbers += "".join(f"{value:7.3f}" for value in own)
            print(f"{path.name:24}{relation:12}{numbers}   of {num_positions}", flush=True)


@contextlib.contextmanager
def uniform_past(model: Any) -> Iterator[None]:
    """Replaces the attention to the past by a mean over all positions, inside the context.

    Args:
        model: network with one or two Relational LSTMs; calls that are traced inside see the mean.

    Raises:
        UsageError: it has none, or one whose weights do not sum to 1.
    """
    from rlstm_tf.attention.maps import require_relational_lstm
    from rlstm_tf.errors import UsageError
    from rlstm_tf.layers import RelationalLSTM

    pairwise = require_relational_lstm(model).cell.pairwise
    if pairwise != "embedded_gaussian":
        raise UsageError(f"--pairwise={pairwise}: the weights do not sum to 1")
    cells = [layer.cell for layer in model.layers if isinstance(layer, RelationalLSTM)]
    scales = [cell.relation_h.scale for cell in cells]
    try:
        for cell in cells:
            # Equal logits: the softmax is 1/N everywhere.
            cell.relation_h.scale = 0.0
        yield
    finally:
        for cell, scale in zip(cells, scales):
            cell.relation_h.scale = scale


def _accuracies(path: Path) -> dict[str, dict[str, float]]:
    """Returns accuracies over all classes and by group, 0..1, as trained and with a mean."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.relational_data import PAIRS
    from benchmarks.relational_tables import pair_shares
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.protocols import get_protocol
    from rlstm_tf.errors import UsageError
    from rlstm_tf.evaluation.scorer import Scorer

    model, shards, config = _load(path)
    if shards.manifest.multi_label:
        raise UsageError(f"{path}: --uniform_past takes videos of one class each")
    views = get_protocol("center", False)

    def accuracies() -> dict[str, float]:
        batches = pipeline.evaluation_batches(shards, config, views)
        # Traced here, with the weights w of this moment.
        scorer = Scorer(model, tf.distribute.get_strategy(), views.reduction)
        logits = scorer.score(pipeline.iterate(batches, shards), len(shards))
        shares = {"all classes": float(np.mean(logits.argmax(axis=1) == shards.labels))}
        for pairs in PAIRS.values():
            if {name for pair in pairs for name in pair.classes} == set(shards.classes):
                shares.update(pair_shares(logits, shards.labels, shards.classes, pairs))
        return shares

    as_trained = accuracies()
    with uniform_past(model):
        return {"learned": as_trained, "uniform": accuracies()}


def _measure(path: Path, num_videos: int) -> tuple[dict[str, tuple[Any, Any]], int]:
    """Returns attended positions and own weight, [gates] each, by relation; and N."""
    import numpy as np

    from rlstm_tf.attention.maps import compute_attention_maps
    from rlstm_tf.data.batches import evaluation_example
    from rlstm_tf.errors import UsageError

    model, shards, config = _load(path)
    positions = np.linspace(0, len(shards) - 1, min(num_videos, len(shards))).astype(int).tolist()
    found: dict[str, list[tuple[Any, Any]]] = {"spatial": [], "temporal": []}
    for position in positions:
        frames = evaluation_example(shards, config, position)["frames"][0]
        seen = compute_attention_maps(model, frames)
        if not seen.are_shares:
            raise UsageError(f"{path}: the weights of this pairwise function do not sum to 1")
        for relation in found:
            w = getattr(seen, relation)
            found[relation].append(spread(w[1:] if len(w) > 1 else w))
    means = {
        relation: tuple(np.mean(numbers, axis=0) for numbers in zip(*of_videos))
        for relation, of_videos in found.items()
    }
    return means, seen.map_shape[0] * seen.map_shape[1]


def _load(path: Path) -> tuple[Any, Any, Any]:
    """Returns the network of a run, its test videos, and how their frames are sampled."""
    from rlstm_tf.data.input_config import InputConfig
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.runs.directory import read_flags
    from rlstm_tf.runs.weights import load_model

    settings = read_flags(path / "flags.cfg")
    shards = Shards.open(settings.data, "test")
    model, _ = load_model(path, "newest", settings, len(shards.classes))
    return model, shards, InputConfig(**input_flags.arguments(settings))


def spread(w: Any) -> tuple[Any, Any]:
    """Computes the number of attended positions, and the own weight of a position.

    Args:
        w: weights w_ij that sum to 1 over j, float [T, gates, N, N].

    Returns:
        exp of the mean entropy, 1..N, and the mean of w_ii, 0..1: float [gates] each.
    """
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(w > 0, w * np.log(w), 0).sum(axis=-1)
    own = np.diagonal(w, axis1=-2, axis2=-1)
    return np.exp(entropy.mean(axis=(0, 2))), own.mean(axis=(0, 2))


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

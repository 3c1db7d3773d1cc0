"""Fuses scores of several runs: streams of one model, or several models.

    python -m rlstm_tf.fuse --scores=SPATIAL,TEMPORAL --weights=0.45,0.55 --output=runs/fused
    python -m rlstm_tf.fuse --scores=SPATIAL,TEMPORAL --preset=ucf101 --output=runs/fused
    python -m rlstm_tf.fuse --scores=SPATIAL,TEMPORAL --search=SPATIAL_VAL,TEMPORAL_VAL --output=...

--scores takes directories that `evaluate` or `fuse` wrote. Averages the logits of each video,
before softmax. Writes scores.npz and metrics.json into --output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.flags import check_local, require
from rlstm_tf.cli.parsing import parse_numbers
from rlstm_tf.cli.paths import define_path, define_path_list
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say

# Weights of the spatial and the temporal stream (arXiv 1811.07059, section 4).
PRESETS = {
    "ucf101": (0.45, 0.55),
    "hmdb51": (0.33, 0.67),
    "rlstm": (0.5, 0.5),
    "tsn": (0.35, 0.65),
}
_WEIGHTINGS = ("weights", "preset", "search")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags."""
    own: dict[str, Any] = {"flag_values": values}
    define_path_list("scores", None, "Directories of evaluate or fuse, with commas.", **own)
    flags.DEFINE_list("weights", None, "One a score; they sum to 1.", **own)
    flags.DEFINE_enum(
        "preset", None, tuple(PRESETS), "The paper's weights: spatial scores, then temporal.", **own
    )
    define_path_list(
        "search",
        None,
        "Scores of the same runs on a validation set; takes the weights that are best there.",
        **own,
    )
    define_path("output", None, "Directory to write.", **own)


def main(values: flags.FlagValues) -> None:
    """Fuses the scores, writes the result, prints its metrics."""
    require(values, "scores", "output")
    check_local(values, "scores", "output")
    given = [name for name in _WEIGHTINGS if values[name].value is not None]
    if len(given) != 1:
        raise UsageError(
            "give one of --weights, --preset and --search, "
            f"not {' and '.join('--' + name for name in given) or 'none'}"
        )
    weights: tuple[float, ...] = ()
    if values.weights:
        weights = parse_numbers("weights", values.weights, float, 0.0, 1.0)

    from rlstm_tf.evaluation import fusion, metrics, score_files

    output = Path(values.output)
    scores, metadata = zip(*(score_files.load(Path(name)) for name in values.scores))
    # Compare directories: a score may be given as the file in its directory.
    if output.resolve() in [
        score_files.scores_directory(Path(name)).resolve() for name in values.scores
    ]:
        raise UsageError(f"--output={output} is one of the --scores")
    if values.preset:
        weights = _preset(values.preset, metadata)
    if values.search:
        weights = _search(values.search, scores, metadata)
    fused = fusion.fuse(scores, weights, values.scores)
    result = metrics.compute_metrics(fused.labels, fused.logits)
    parts = [
        {"scores": name, "weight": weight, **part}
        for name, weight, part in zip(values.scores, weights, metadata)
    ]
    origin = {"weights_from": given[0], "fused": parts}
    score_files.save(output, fused, {**result, **fusion.combine_metadata(metadata), **origin})
    name, value = next(iter(result.items()))
    shares = ", ".join(f"{weight:g}" for weight in weights)
    say(f"{name} {value:.4f}, {result['videos']} videos, weights {shares}: {output}")


def _preset(name: str, metadata: Any) -> tuple[float, ...]:
    """Returns the paper's weights, if they are for such scores."""
    streams = [part["stream"] for part in metadata]
    # The paper chose weights for the two-branch network on each data set, for others once.
    key = "dataset" if name in ("ucf101", "hmdb51") else "model"
    other = [part[key] for part in metadata if part[key] != name]
    if other:
        raise UsageError(f"--preset={name}: these scores are of {key} {other[0]}")
    if streams != ["spatial", "temporal"]:
        raise UsageError(
            f"--preset={name}: takes spatial, then temporal scores, not {', then '.join(streams)}"
        )
    return PRESETS[name]


def _search(names: list[str], scores: Any, metadata: Any) -> tuple[float, ...]:
    """Returns the weights that are best on validation scores, and prints them."""
    from rlstm_tf.evaluation import fusion, metrics, score_files

    if len(names) != len(scores):
        raise UsageError(f"--search: {len(names)} validation scores for {len(scores)} scores")
    validation, found_metadata = zip(*(score_files.load(Path(name)) for name in names))
    for name, found, tested in zip(names, found_metadata, metadata):
        for fact in set(score_files.METADATA) - {"subset"}:
            if found[fact] != tested[fact]:
                raise UsageError(
                    f"--search: {name} is of {fact} {found[fact]}, "
                    f"the scores at its place in --scores are of {tested[fact]}"
                )
    seen = sorted(set(validation[0].ids) & set(scores[0].ids))
    if seen:
        raise UsageError(
            f"--search: video {seen[0]!r} is in --scores too; "
            "choose weights on other videos than they are tested on"
        )
    weights = fusion.search_weights(validation, names)
    found = fusion.fuse(validation, weights, names)
    name, value = next(iter(metrics.compute_metrics(found.labels, found.logits).items()))
    say(
        f"weights {', '.join(f'{weight:g}' for weight in weights)}: best of a grid of 0.05 on "
        f"{len(found.ids)} validation videos, {name} {value:.4f} there"
    )
    return weights


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

"""Fuses scores of several runs: streams of one model, or several models.

    python -m rlstm_tf.fuse --scores=SPATIAL,TEMPORAL --weights=0.45,0.55 --output=runs/fused
    python -m rlstm_tf.fuse --scores=SPATIAL,TEMPORAL --preset=ucf101 --output=runs/fused
    python -m rlstm_tf.fuse --scores=SPATIAL,TEMPORAL --search=SPATIAL_VAL,TEMPORAL_VAL --output=...

A score is a directory that `evaluate` or `fuse` wrote. Logits are averaged before softmax, video by
video. Writes scores.npz and metrics.json into --output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.flags import check_local, parse_numbers, require
from rlstm_tf.errors import UsageError

# Spatial and temporal weight (arXiv 1811.07059, section 4).
PRESETS = {
    "ucf101": (0.45, 0.55),
    "hmdb51": (0.33, 0.67),
    "rlstm": (0.5, 0.5),
    "tsn": (0.35, 0.65),
}
_WAYS = ("weights", "preset", "search")


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this entry point."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_list("scores", None, "Directories of evaluate or fuse, with commas.", **own)
    flags.DEFINE_list("weights", None, "One a score; they sum to 1.", **own)
    flags.DEFINE_enum(
        "preset", None, tuple(PRESETS), "The paper's weights: spatial scores, then temporal.", **own
    )
    flags.DEFINE_list(
        "search",
        None,
        "The same runs' scores of a validation set: takes what is best there.",
        **own,
    )
    flags.DEFINE_string("output", None, "Directory to write.", **own)


def main(values: flags.FlagValues) -> None:
    """Fuses, writes, prints."""
    require(values, "scores", "output")
    check_local(values, "scores", "output")
    given = [name for name in _WAYS if values[name].value is not None]
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
    parts, facts = zip(*(score_files.load(Path(name)) for name in values.scores))
    # Not replaced, even where a score is given as the file in its directory.
    if output.resolve() in [
        score_files.directory_of(Path(name)).resolve() for name in values.scores
    ]:
        raise UsageError(f"--output={output} is one of the --scores")
    if values.preset:
        weights = _preset(values.preset, facts)
    if values.search:
        weights = _search(values.search, parts, facts)
    fused = fusion.fuse(parts, weights, values.scores)
    result = metrics.summarize(fused.labels, fused.logits)
    about = {
        **fusion.combined_facts(facts),
        "weights_from": given[0],
        "fused": [
            {"scores": name, "weight": weight, **part}
            for name, weight, part in zip(values.scores, weights, facts)
        ],
    }
    score_files.save(output, fused, {**result, **about})
    name, value = next(iter(result.items()))
    shares = ", ".join(f"{weight:g}" for weight in weights)
    print(f"{name} {value:.4f}, {result['videos']} videos, weights {shares}: {output}")


def _preset(name: str, facts: Any) -> tuple[float, ...]:
    streams = [part["stream"] for part in facts]
    # Those of a data set are of the two-branch network; the others of one model on any.
    key = "dataset" if name in ("ucf101", "hmdb51") else "model"
    other = [part[key] for part in facts if part[key] != name]
    if other:
        raise UsageError(f"--preset={name}: these scores are of {key} {other[0]}")
    if streams != ["spatial", "temporal"]:
        raise UsageError(
            f"--preset={name}: takes spatial scores, then temporal ones, "
            f"these are {', then '.join(streams)}"
        )
    return PRESETS[name]


def _search(names: list[str], parts: Any, facts: Any) -> tuple[float, ...]:
    from rlstm_tf.evaluation import fusion, metrics, score_files

    if len(names) != len(parts):
        raise UsageError(f"--search: {len(names)} validation scores for {len(parts)} scores")
    validation, about = zip(*(score_files.load(Path(name)) for name in names))
    for name, found, tested in zip(names, about, facts):
        for fact in set(score_files.FACTS) - {"subset"}:
            if found[fact] != tested[fact]:
                raise UsageError(
                    f"--search: {name} is of {fact} {found[fact]}, "
                    f"the scores that it stands for are of {tested[fact]}"
                )
    seen = sorted(set(validation[0].ids) & set(parts[0].ids))
    if seen:
        raise UsageError(
            f"--search: video {seen[0]!r} is in the scores to fuse too; "
            "weights are not chosen on what they are tested on"
        )
    weights = fusion.search(validation, names)
    found = fusion.fuse(validation, weights, names)
    name, value = next(iter(metrics.summarize(found.labels, found.logits).items()))
    print(
        f"weights {', '.join(f'{weight:g}' for weight in weights)}: best of a grid of 0.05 on "
        f"{len(found.ids)} validation videos, {name} {value:.4f} there"
    )
    return weights


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

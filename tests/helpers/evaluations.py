"""Made-up evaluation directories in the format of rlstm_tf.evaluate and rlstm_tf.fuse."""

from __future__ import annotations

import json

import numpy as np

CLASSES = tuple(f"class {letter}" for letter in "abcdefghijkl")
STREAMS = ("spatial", "temporal", "two_stream")


def logits_of(predicted, num_classes, seed=0):
    """Returns logits [V, K], largest at the class in `predicted`, by 1 or more."""
    logits = np.random.default_rng(seed).random((len(predicted), num_classes)).astype(np.float32)
    logits[np.arange(len(predicted)), predicted] += 2
    return logits


def predictions(labels, right, num_classes):
    """Predicts the first `right` videos right, and the next class for the others."""
    wrong = np.arange(len(labels)) >= right
    return (np.asarray(labels) + wrong) % num_classes


def description(**changes):
    """Returns metrics.json of a two-branch network on split 1 of UCF-101, with `changes`."""
    return {
        "dataset": "ucf101",
        "split": 1,
        "subset": "test",
        "stream": "spatial",
        "model": "two_branch",
        "num_segments": 8,
        "cut": "conv5_block2_out",
        "backbone": "resnet101v2",
        "protocol": "paper",
        "views": 20,
        "checkpoint": "runs/x/checkpoints/best.npz",
        "run": "runs/x",
        "data": "no/such/shards",
        **changes,
    }


def write(directory, metrics, ids, labels, logits, classes=CLASSES):
    """Writes both files of an evaluation; computes the score if `metrics` has none."""
    directory.mkdir(parents=True)
    labels = np.asarray(labels)
    if labels.ndim == 1 and "accuracy" not in metrics:
        accuracy = float((logits.argmax(axis=1) == labels).mean())
        metrics = {"accuracy": accuracy, "mean_class_accuracy": accuracy, **metrics}
    metrics = {"loss": 1.0, "videos": len(ids), **metrics}
    (directory / "metrics.json").write_text(json.dumps(metrics))
    np.savez(
        directory / "scores.npz",
        ids=np.array(ids),
        labels=labels,
        logits=logits,
        classes=np.array(classes),
    )
    return directory


def write_right(directory, right, videos=1000, classes=CLASSES, **changes):
    """Writes an evaluation with `right` of `videos` videos right, named v0000, v0001, ..."""
    labels = np.arange(videos, dtype=np.int32) % len(classes)
    predicted = predictions(labels, right, len(classes))
    ids = [f"v{number:04d}" for number in range(videos)]
    scores = logits_of(predicted, len(classes), seed=right)
    return write(directory, fused(description(**changes)), ids, labels, scores, classes)


def fused(metrics):
    """Adds parts to the metrics of two streams or several models."""
    models = metrics["model"].split("+")
    streams = ("spatial", "temporal") if metrics["stream"] == "two_stream" else (metrics["stream"],)
    if len(models) * len(streams) == 1:
        return metrics
    weights = dict(zip(streams, (0.45, 0.55))) if len(streams) == 2 else {streams[0]: 1.0}
    parts = [
        {
            **metrics,
            "scores": f"runs/{model}_{stream}/evaluation/test",
            "weight": weights[stream] / len(models),
            "stream": stream,
            "model": model,
            "run": f"runs/{model}_{stream}",
        }
        for model in models
        for stream in streams
    ]
    return {**metrics, "run": None, "checkpoint": None, "data": None, "fused": parts}


def write_map(directory, labels, logits, classes, mean_ap, **changes):
    """Writes an evaluation of a multi-label set, by default Charades."""
    metrics = description(dataset="charades", split=0, **changes)
    ids = [f"V{number:04d}" for number in range(len(labels))]
    return write(directory, {"map": mean_ap, **metrics}, ids, labels, logits, classes)


def write_everything(root):
    """Writes evaluations that fill every cell of all tables.

    The numbers of tables 2 to 5 are the paper's plus 0.1; those of the three splits in tables 6 and
    7 are the paper's - 0.3, + 0 and + 0.6.
    """
    single = {
        "two_branch": (887, 881, 944),
        "tsn": (870, 885, 938),
        "rlstm": (869, 875, 938),
        "tsn+rlstm": (886, 891, 942),
        "local": (874, 873, 940),
        "lstm": (850, 851, 910),
        "convlstm": (860, 861, 920),
    }
    for model, counts in single.items():
        for stream, right in zip(STREAMS, counts):
            if (model, stream) not in [("two_branch", "two_stream"), ("rlstm", "two_stream")]:
                write_right(root / f"{model}_{stream}", right + 1, model=model, stream=stream)
    ablations = {
        ("num_segments", 6): (872, 879, 942),
        ("num_segments", 10): (881, 875, 941),
        ("num_segments", 12): (874, 874, 935),
        ("cut", "conv5_block1_out"): (875, 877, 940),
        ("cut", "conv5_block3_out"): (877, 875, 938),
    }
    for (name, value), counts in ablations.items():
        for stream, right in zip(STREAMS, counts):
            write_right(root / f"{value}_{stream}", right + 1, stream=stream, **{name: value})
    means = {
        ("ucf101", "two_branch"): (945, 948, 954),
        ("ucf101", "rlstm"): (939, 942, 948),
        ("hmdb51", "two_branch"): (711, 714, 720),
        ("hmdb51", "rlstm"): (700, 700, 700),
    }
    for (dataset, model), counts in means.items():
        for split, right in enumerate(counts, start=1):
            changes = {"dataset": dataset, "model": model, "split": split}
            write_right(root / f"{dataset}{split}_{model}", right, stream="two_stream", **changes)
    # Each of four classes has one video, at this rank: mAP 1/4 and 7/24.
    classes = ("c000 Hold", "c001 Put", "c002 Take", "c003 Open")
    for model, ranks in (("tsn", (4, 4, 4, 4)), ("two_branch", (3, 4, 3, 4))):
        mean_ap = sum(1 / rank for rank in ranks) / 4
        scores = at_ranks(ranks)
        labels = np.eye(4, dtype=bool)
        write_map(root / f"charades_{model}", labels, scores, classes, mean_ap, model=model)


def at_ranks(ranks):
    """Returns logits [K, K] that rank video k at `ranks[k]` among K videos for class k."""
    count = len(ranks)
    scores = np.zeros((count, count), np.float32)
    for k, rank in enumerate(ranks):
        others = [video for video in range(count) if video != k]
        scores[others[: rank - 1], k] = 2
        scores[k, k] = 1
    return scores

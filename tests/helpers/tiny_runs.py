"""A tiny data set, a run on it and its export: what the session fixtures `tiny_*` make."""

from __future__ import annotations

from rlstm_tf import evaluate, export, train
from rlstm_tf.cli import app
from tfrecords_tools import build

TINY = (
    *("--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2", "--image_size=32"),
    *("--batch_size=2", "--batch_norm=batch", "--batch_norm_momentum=0.9", "--learning_rate=0.01"),
    "--drop_epochs=2",
)
CLASSES = ("left", "right <i>")
# Frames and subset of each class's videos: l0.mp4, ..., r5.mp4; they differ in width too.
VIDEOS = ((7, "train"), (12, "train"), (9, "train"), (8, "val"), (30, "test"), (1, "test"))


def run(module, *arguments, positional=None):
    """Runs a command in this process; returns its status."""
    line = ["program", *map(str, arguments)]
    return app.run(module.main, module.define_flags, line, positional=positional)


def make_videos(directory, make_video):
    rows = ["path,label,subset"]
    for name in CLASSES:
        for number, (frames, subset) in enumerate(VIDEOS):
            path, seed = directory / f"{name[0]}{number}.mp4", number + 10 * (name == "left")
            make_video(path, frames=frames, seed=seed, size=(64 + 8 * (number % 3), 48))
            rows.append(f"{path.name},{name},{subset}")
    (directory / "list.csv").write_text("\n".join(rows) + "\n")


def make_shards(videos, directory, *more):
    line = [f"--videos={videos / 'list.csv'}", f"--output={directory}", "--workers=1", *more]
    assert run(build, "--dataset=folder", "--short_side=40", "--shards=2", *line) == 0


def make_run(shards, directory, *more):
    """Trains for three epochs of three steps, and scores the test videos."""
    line = [f"--data={shards}", f"--run_dir={directory}", "--epochs=3", *TINY, *more]
    assert run(train, *line) == 0
    assert run(evaluate, f"--run_dir={directory}", "--split=test") == 0


def make_export(run_dir, directory):
    assert run(export, f"--run_dir={run_dir}", f"--output={directory}", "--nowarmup") == 0

"""Fixtures that several fault tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def videos(make_video, tmp_path_factory):
    """A folder data set: 2 classes of 4 small videos."""
    directory = tmp_path_factory.mktemp("folder") / "videos"
    for seed in range(8):
        name = f"c{seed % 2}/{seed}.mp4"
        make_video(directory / name, frames=3 + seed, size=(40, 32), seed=seed)
    return directory


@pytest.fixture(scope="session")
def shards(tmp_path_factory, make_video):
    """Shards of two classes: ten videos to train on, four for validation."""
    from rlstm_tf.cli import app
    from tfrecords_tools import build

    root = tmp_path_factory.mktemp("videos")
    rows = ["path,label,subset"]
    for number in range(14):
        path = make_video(root / f"{number}.mp4", frames=5 + number, seed=number)
        rows.append(f"{path.name},{'ab'[number % 2]},{'val' if number > 9 else 'train'}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    arguments = ["--dataset=folder", f"--videos={root / 'list.csv'}", f"--output={root / 'shards'}"]
    arguments += ["--short_side=40", "--shards=2", "--workers=1"]
    assert app.run(build.main, build.define_flags, ["build", *arguments]) == 0
    return root / "shards"


@pytest.fixture(scope="session")
def short(shards, tmp_path_factory):
    """A run of two epochs, never disturbed, with a checkpoint after every step."""
    from trainings import SHORT, train_here

    run_dir = tmp_path_factory.mktemp("short") / "run"
    assert train_here(shards, run_dir, *SHORT) == 0
    return run_dir

"""Apache Beam builds the same bytes as a local build. Skipped if Beam is not installed."""

from __future__ import annotations

import json
import logging
import os
import shutil

import failing_decoders
import pytest
from builds import arguments, files, kill_once_made, run

from rlstm_tf.cli import app
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError
from tfrecords_tools import beam
from tfrecords_tools.builder import decoded_video, distributed_build

pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install 'rlstm-tf[beam]'")


def run_beam(capfd, *given):
    """Runs the command; returns exit status, stdout, and stderr without progress bars."""
    status = app.run(beam.main, beam.define_flags, ["prog", *given], rest="pipeline_options")
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    lines = [line.split("\r")[-1] for line in captured.err.splitlines()]
    return status, captured.out, [line for line in lines if line and not line.startswith("build: ")]


def test_gives_the_bytes_of_a_local_build(own, built, tmp_path, capfd):
    """Also prints none of Beam's own lines."""
    status, out, errors = run_beam(capfd, *arguments(own, tmp_path / "new"))
    assert (status, errors) == (0, [])
    assert "folder: 2 classes, videos: 5 train, 2 test" in out
    assert "train: 5 videos" in out
    assert files(tmp_path / "new") == files(built)
    assert set(os.listdir(tmp_path / "new")) == set(files(built))
    status, out, errors = run_beam(capfd, *arguments(own, tmp_path / "new"))
    assert (status, errors) == (0, [])
    assert "is complete already" in out


def test_flow(own, tmp_path, capfd):
    more = ("--stream=temporal", "--flow=dis", "--val_share=0.3")
    assert run(capfd, *arguments(own, tmp_path / "build", *more))[0] == 0
    assert run_beam(capfd, *arguments(own, tmp_path / "beam", *more))[0] == 0
    assert files(tmp_path / "beam") == files(tmp_path / "build")


def test_options_of_beam(own, built, tmp_path, capfd):
    """Several workers on one machine."""
    given = arguments(own, tmp_path / "new")
    options = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    assert run_beam(capfd, *given, "--", *options)[::2] == (0, [])
    assert files(tmp_path / "new") == files(built)


def test_damaged_video(own, tmp_path, capfd):
    videos = shutil.copytree(own, tmp_path / "videos")
    (videos / "walk/2.mp4").write_bytes(b"text")
    assert run(capfd, *arguments(videos, tmp_path / "build"))[0] == 1
    status, _, errors = run_beam(capfd, *arguments(videos, tmp_path / "beam"))
    assert status == 1
    assert errors[0].startswith("damaged: walk/2.mp4: cannot be opened")
    assert f"damaged videos left out of {tmp_path}/beam: 1; " in errors[1]
    assert len(errors) == 2
    assert files(tmp_path / "beam") == files(tmp_path / "build")
    assert Manifest.load(str(tmp_path / "beam")).damaged[0]["path"] == str(videos / "walk/2.mp4")
    allowed = arguments(videos, tmp_path / "beam", "--max_bad_videos=1")
    assert run_beam(capfd, *allowed)[0] == 0


def test_video_whose_decoder_is_killed(own, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.killed)
    video = "run <b>é/3.mp4"
    given = arguments(own, tmp_path / "beam", "--max_bad_videos=1")
    status, _, errors = run_beam(capfd, *given)
    assert status == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"error: the process that decoded {own}/{video} was killed twice")
    assert errors[0].endswith(f"--leave_out={video} builds without it")
    status, _, errors = run_beam(capfd, *given, f"--leave_out={video}")
    assert (status, errors) == (0, [f"damaged: {video}: left out by --leave_out"])
    given = arguments(own, tmp_path / "build", "--max_bad_videos=1", f"--leave_out={video}")
    assert run(capfd, *given)[0] == 0
    assert files(tmp_path / "beam") == files(tmp_path / "build")


def test_killed_job_resumes_to_the_same_bytes(make_video, tmp_path, capfd):
    for seed in range(8):
        make_video(tmp_path / "videos" / f"c{seed % 2}" / f"{seed}.mp4", frames=60, seed=seed)
    more = ("--shards=4", "--short_side=256", "--test_share=0")
    given = arguments(tmp_path / "videos", tmp_path / "beam", *more)
    work = tmp_path / "beam/.build"
    notes = kill_once_made("tfrecords_tools.beam", given, work, "train-*.json")
    assert not (tmp_path / "beam/manifest.json").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "beam").glob("*.tfrecord")}

    assert run_beam(capfd, *given)[::2] == (0, [])
    assert run(capfd, *arguments(tmp_path / "videos", tmp_path / "build", *more))[0] == 0
    assert files(tmp_path / "beam") == files(tmp_path / "build")
    first = tmp_path / "beam" / f"{notes[0].stem}.tfrecord"
    assert first.stat().st_mtime_ns == made[first]


def test_error_in_a_worker_is_one_line(own, tmp_path, capfd, monkeypatch):
    def lost(source, target):
        raise OSError(5, "the line is down", source)

    with monkeypatch.context() as patch:
        patch.setattr(distributed_build, "copy", lost)
        status, _, errors = run_beam(capfd, *arguments(own, tmp_path / "new"))
    assert status == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"error: cannot write {tmp_path}/new/")
    assert errors[0].endswith("the line is down")
    assert run_beam(capfd, *arguments(own, tmp_path / "new"))[0] == 0


def test_interrupted(own, tmp_path, capfd, monkeypatch):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(distributed_build, "build_shards", interrupted)
    status, _, errors = run_beam(capfd, *arguments(own, tmp_path / "new"))
    assert (status, errors) == (130, ["error: interrupted"])


@pytest.mark.parametrize("remote", [False, True])
def test_messages_of_a_remote_runner_are_shown(own, tmp_path, capfd, monkeypatch, remote):
    """They tell where the job runs, which one needs to know to cancel it."""
    logger, before = logging.getLogger("apache_beam"), logging.getLogger().level
    shown = []

    def submitted(*given):
        shown.append(logging.getLogger("apache_beam.runners").isEnabledFor(logging.INFO))
        raise DataError("stopped here")

    monkeypatch.setattr("tfrecords_tools.builder.beam_pipeline.run", submitted)
    runner = "apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"
    options = ["--", f"--runner={runner}"] if remote else []
    try:
        assert run_beam(capfd, *arguments(own, tmp_path / "new"), *options)[0] == 1
    finally:
        logger.setLevel(logging.NOTSET)
        logging.getLogger().setLevel(before)
    assert shown == [remote]


def test_bug_in_a_worker_is_not_a_user_error(own, tmp_path, monkeypatch):
    def buggy(*given):
        raise KeyError("bug")

    monkeypatch.setattr(distributed_build, "build_shards", buggy)
    given = ["beam", *arguments(own, tmp_path / "new")]
    with pytest.raises((KeyError, RuntimeError), match="bug"):
        app.run(beam.main, beam.define_flags, given, rest="pipeline_options")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--no_such_option=1"], "Beam has no option --no_such_option"),
        (["--direct_num_workers=many"], "argument --direct_num_workers: invalid int value: 'many'"),
        (["--runner=Nope"], "Unexpected pipeline runner: Nope"),
        (["stray"], "Beam's options must be --name=value, found 'stray'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(own, tmp_path, capfd, given, message):
    more = arguments(own, tmp_path / "new", "--", *given)
    status, _, errors = run_beam(capfd, *more)
    assert (status, len(errors)) == (2, 1)
    assert message in errors[0]
    assert not (tmp_path / "new").exists()


def test_build_resumes_a_job(own, built, tmp_path, capfd, monkeypatch):
    build_shard = distributed_build.build_shard
    finished = []

    def one_only(job, listing):
        if not finished:
            finished.append(listing.name)
            build_shard(job, listing)

    with monkeypatch.context() as patch:
        patch.setattr("tfrecords_tools.builder.beam_pipeline.build_shard", one_only)
        status, _, errors = run_beam(capfd, *arguments(own, tmp_path / "new"))
    assert status == 1
    assert "2 of 3 shards were not built" in errors[0]
    note = json.loads((tmp_path / f"new/.build/{finished[0]}.json").read_text())
    assert note["shard"]["name"] == finished[0]
    before = (tmp_path / f"new/{finished[0]}.tfrecord").stat().st_mtime_ns
    assert run(capfd, *arguments(own, tmp_path / "new"))[0] == 0
    assert (tmp_path / f"new/{finished[0]}.tfrecord").stat().st_mtime_ns == before
    assert files(tmp_path / "new") == files(built)

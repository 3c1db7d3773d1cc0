"""Benchmarks of commands, small: their output, not their speed."""

import functools
import re
import sys

import pytest
import warm_python

from benchmarks import input as input_benchmark
from benchmarks import processes, records, serving, startup, timing
from benchmarks.timing import Seconds, fastest
from rlstm_tf.cli import app
from rlstm_tf.errors import DataError


def lines(benchmark, *arguments, capsys):
    """Returns the lines that a benchmark prints."""
    assert app.run(benchmark.main, benchmark.define_flags, ["benchmark", *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[a-z-]+: TensorFlow \S+, \d+ cores, commit \S+", printed[0])
    return printed[1:]


def ratios(printed):
    """Returns value and True if there is a target, by the name of a printed ratio."""
    pattern = r"  (\S.*?)\s+(\d+\.\d\d)(  \(target [\d.]+: (?:met|missed)\))?"
    found = [re.fullmatch(pattern, line) for line in printed]
    return {match[1]: (float(match[2]), bool(match[3])) for match in found if match}


def run_warm(command):
    """Replaces `processes.run`: forked from a process with TensorFlow."""
    result = warm_python.run(command[1:])
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("stream", "images"), [("spatial", 12), ("temporal", 10)])
def test_records(stream, images, capsys, monkeypatch):
    if stream == "temporal":  # one stream is enough for the commands
        monkeypatch.setattr(records, "_whole_command", lambda *arguments: None)
    monkeypatch.setattr(records, "run", run_warm)
    small = ("--clips=2", "--frames=6", "--repeats=1", "--rounds=1", "--short_side=32")
    printed = lines(records, f"--stream={stream}", *small, capsys=capsys)
    assert printed[0].startswith(f"2 videos, {images} ")
    workers = [line.split()[1] for line in printed if line.startswith("workers:")]
    assert workers == (["1", "2"] if stream == "spatial" else [])
    found = ratios(printed)
    for name in ("worker, share of the bare loop", "... and its shard"):
        assert found[name][1]


def test_workers_are_compared_without_their_start(capsys):
    elapsed = {"work 1": 9.0, "work 2": 6.0, "start 1": 5.0, "start 2": 4.0}
    seconds = {name: Seconds(own, own) for name, own in elapsed.items()}
    records._print_workers(seconds)
    found = ratios(capsys.readouterr().out.splitlines())
    assert found["times faster with 2 workers"] == (2.0, True)
    assert found["... at most, by core seconds"] == (4.0, False)
    records._print_workers({**seconds, "work 2": Seconds(3.9, 3.9)})
    assert "too little work" in capsys.readouterr().out


def test_the_bare_loop_encodes_the_images_of_a_build(tmp_path, monkeypatch):
    """Otherwise the ratio would compare different work."""
    import cv2

    from benchmarks.clips import write_clips
    from tfrecords_tools.builder import decoded_video

    write_clips(str(tmp_path / "videos"), 1, 5)
    (path,) = map(str, (tmp_path / "videos").rglob("*.mp4"))
    for flow in (None, "dis"):
        piece = str(tmp_path / f"piece_{flow}")
        assert (
            decoded_video.decode(decoded_video.DecodeTask(piece, path, 32, 90, flow=flow)) is None
        )
        ours, encode = [], cv2.imencode

        def noted(*arguments, ours=ours, encode=encode):
            done, jpeg = encode(*arguments)
            ours.append(jpeg.tobytes())
            return done, jpeg

        with monkeypatch.context() as patch:
            patch.setattr(cv2, "imencode", noted)
            assert records._bare([path], 32, 90, flow) == len(ours)
        assert ours == list(decoded_video.load(piece).read_jpegs())


def test_serving(capsys):
    found = ratios(lines(serving, "--latencies=1", capsys=capsys))
    assert {name for name, (_, target) in found.items() if target} == {
        "frames, speed of traced Keras"
    }
    assert len(found) == 3


def test_start_up(capsys, monkeypatch):
    monkeypatch.setattr(startup, "fastest", functools.partial(fastest, warm_up=False))
    printed = lines(startup, "--only=rlstm_tf.recipe", "--rounds=1", capsys=capsys)
    commands = {re.split("  +", line)[0] for line in printed[1:]}
    assert commands == {
        "python -c pass",
        "import tensorflow",
        "rlstm_tf.recipe --help",
        "rlstm_tf.recipe --wrong",
    }


def test_start_up_finds_every_command():
    assert {"rlstm_tf.train", "tfrecords_tools.build"} <= set(startup._entry_points())


def test_status_of_a_command():
    processes.run([sys.executable, "-c", "raise SystemExit(3)"], status=3)
    with pytest.raises(DataError, match="no such thing"):
        processes.run([sys.executable, "-c", "raise SystemExit('no such thing')"], status=3)


def test_the_fastest_turns(monkeypatch):
    """Wall time and core time each from their best turn, without the one to warm up."""
    clock = {"elapsed": 0.0, "of_cores": 0.0}
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock["elapsed"])
    monkeypatch.setattr(timing, "_cpu_time", lambda: clock["of_cores"])
    turns = iter([(0.5, 0.5), (2.0, 1.0), (1.0, 3.0)])

    def run():
        elapsed, of_cores = next(turns)
        clock.update(elapsed=clock["elapsed"] + elapsed, of_cores=clock["of_cores"] + of_cores)

    assert fastest({"a": run}, 2) == {"a": Seconds(1.0, 1.0)}


def test_the_time_of_a_command_counts():
    program = "for _ in range(10**6): pass"
    found = fastest({"loop": lambda: processes.run([sys.executable, "-c", program])}, 1)
    assert found["loop"].of_cores > 0.01


def test_input(capsys, monkeypatch):
    # Hides them, also where they are installed.
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    monkeypatch.setitem(sys.modules, "decord", None)
    small = ("--clips=2", "--frames=12", "--batch_size=2", "--batches=1", "--rounds=1")
    printed = lines(input_benchmark, *small, capsys=capsys)
    temporal = [line.startswith("temporal:") for line in printed].index(True)
    streams = ratios(printed[:temporal]), ratios(printed[temporal:])
    for found in streams:
        for name in ("share of the OpenCV loop", "device, share of decoding alone"):
            assert found[name][1]
        assert not any("simplejpeg" in name or "decord" in name for name in found)
    assert "times faster than PyAV" in streams[0]
    assert "times faster than PyAV" not in streams[1]
    assert [line for line in printed if "skipped" in line] == [
        "simplejpeg is not installed: skipped",
        "decord is not installed: skipped",
        "simplejpeg is not installed: skipped",
    ]


@pytest.mark.parametrize("temporal", [False, True])
def test_the_bare_loop_fills_the_batch_of_the_pipeline(temporal, tmp_path):
    """Except for flips; otherwise the ratio would compare different work."""
    import numpy as np
    from small_shards import write_shards

    from benchmarks import readers
    from rlstm_tf.data import batches
    from rlstm_tf.data.input_config import InputConfig
    from rlstm_tf.data.sample_draw import draw_sample
    from rlstm_tf.data.shards import Shards

    stream = "temporal" if temporal else "spatial"
    write_shards(tmp_path / "shards", [40, 50], stream=stream)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    length = 2 if temporal else 1
    config = InputConfig(2, 3, 32, stream=stream, new_length=length, flip=False)
    expected = batches.training_rows(shards, config, 0, 2)["frames"]
    views = [draw_sample(shards, config, 0, position) for position in range(2)]
    jpegs = [shards.read_frames(view.video, sorted(view.frames.ravel().tolist())) for view in views]
    for threads in (1, 2):
        out = np.zeros_like(expected)
        readers.bare_loop(readers.opencv(stream), jpegs, views, out, threads)
        np.testing.assert_array_equal(out, expected)

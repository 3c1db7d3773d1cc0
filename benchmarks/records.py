"""Building shards compared with a bare loop of PyAV and JPEG encoding, and 2 workers with 1.

    python -m benchmarks.records [--videos=DIR] [--stream=temporal]

First on one core, in one process: the work of a `tfrecords_tools.build` worker on a video, the same
with its shard, and a loop that only decodes the frames with PyAV, resizes and encodes them as JPEG,
with the same libraries and settings. They take turns, and the best turn of each counts, in core
seconds, so that other load on the machine does not count. Target: the worker with its shard at
least 0.8 of the loop.

Then the command with 1 and with 2 workers, in wall time and core seconds, minus the time for as
many videos of two frames: the start of TensorFlow and the workers. Target: 1.8 times faster with 2.
Wall time needs two idle cores; core seconds show the extra work of 2 workers, and so the largest
speedup that 2 cores allow.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.processes import run
from benchmarks.timing import Seconds, fastest, print_ratio
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError

OF_BARE_LOOP = 0.8
FASTER_WITH_TWO_WORKERS = 1.8
_WORKERS = (1, 2)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("videos", None, "Videos, a folder per class; made if unset.", **own)
    flags.DEFINE_enum(
        "stream", "spatial", ["spatial", "temporal"], "Frames, or optical flow with DIS.", **own
    )
    flags.DEFINE_integer("clips", 20, "Clips to make, without --videos.", 2, **own)
    flags.DEFINE_integer("frames", 100, "Frames of such a clip.", 2, **own)
    flags.DEFINE_integer("repeats", 4, "Copies of each clip for the command.", 1, **own)
    flags.DEFINE_integer("short_side", 256, "Short side of a frame, pixels.", 16, **own)
    flags.DEFINE_integer("jpeg_quality", 95, "JPEG quality of the stored frames.", 1, 100, **own)
    flags.DEFINE_integer("rounds", 3, "Timed turns of each.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    from benchmarks.clips import write_clips

    print_heading("records")
    app.load_tensorflow()
    with tempfile.TemporaryDirectory() as directory:
        if not values.videos:
            write_clips(os.path.join(directory, "made"), values.clips, values.frames)
        paths = _paths(values.videos or os.path.join(directory, "made"))
        _one_core(values, paths, directory)
        _whole_command(values, paths, directory)


def _paths(videos: str) -> list[str]:
    from tfrecords_tools.datasets.folder import read_folder

    return [video.path for video in read_folder(videos).videos]


def _one_core(values: flags.FlagValues, paths: list[str], directory: str) -> None:
    import cv2

    # As a worker of the build does.
    cv2.setNumThreads(1)
    flow = "dis" if values.stream == "temporal" else None
    pieces = os.path.join(directory, "pieces")
    os.mkdir(pieces)
    candidates: dict[str, Callable[[], Any]] = {
        "bare loop": lambda: _bare(paths, values.short_side, values.jpeg_quality, flow),
        "worker": lambda: _shard(values, paths, pieces, flow, write=False),
        "worker and shard": lambda: _shard(values, paths, pieces, flow, write=True),
    }
    count = _bare(paths, values.short_side, values.jpeg_quality, flow)
    seconds = {name: own.of_cores for name, own in fastest(candidates, values.rounds).items()}
    kind = "frames" if flow is None else "fields, with DIS"
    print(f"{len(paths)} videos, {count} {kind}")
    print(f"{'':18} {kind.split(',')[0]}/s of a core")
    for name, own in seconds.items():
        print(f"{name:18}{count / own:17.1f}", flush=True)
    bare = seconds["bare loop"]
    print_ratio("worker, share of the bare loop", bare / seconds["worker"], OF_BARE_LOOP)
    print_ratio("... and its shard", bare / seconds["worker and shard"], OF_BARE_LOOP)


def _shard(
    values: flags.FlagValues, paths: list[str], directory: str, flow: str | None, write: bool
) -> None:
    """Builds a shard of some videos, in this process."""
    from tfrecords_tools.builder import decoded_video
    from tfrecords_tools.builder.shard_builder import ShardBuilder
    from tfrecords_tools.datasets.dataset import Action, Video

    videos = [Video(path, path, (Action(0),), "train", path) for path in paths]
    settings = {name: values[name].value for name in ("short_side", "jpeg_quality")}
    settings.update(flow=flow, frames_per_record=512)
    builder = ShardBuilder("train-00000", videos, ["one"], settings, directory)
    for task in builder.decode_tasks():
        reason = decoded_video.decode(task)
        if reason is not None:
            raise DataError(f"{task.video}: {reason}")
    if write:
        builder.write(directory)
    builder.delete_decoded()


def _bare(paths: list[str], short_side: int, quality: int, flow: str | None) -> int:
    """Decodes, resizes and encodes; returns the number of images."""
    import cv2

    from rlstm_tf.data.flow import quantize

    count = 0
    for path in paths:
        before = None
        for frame in _frames(path, short_side):
            image = frame
            if flow:
                after = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
                if before is None:
                    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
                    before = after
                    continue
                image, before = quantize(dis.calc(before, after, None)), after
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            count += 1
    return count


def _frames(path: str, short_side: int) -> Any:
    """Yields frames of a file, BGR, with the given short side."""
    import av
    import cv2
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            image = reformatter.reformat(frame, format="bgr24").to_ndarray()
            height, width = image.shape[:2]
            scale = short_side / min(height, width)
            if scale != 1:
                method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
                # Rounds halves up, as the build does.
                size = int(width * scale + 0.5), int(height * scale + 0.5)
                image = cv2.resize(image, size, interpolation=method)
            yield image


def _whole_command(values: flags.FlagValues, paths: list[str], directory: str) -> None:
    from benchmarks.clips import write_clips

    whole, short = (os.path.join(directory, name) for name in ("whole", "short"))
    _link(paths * values.repeats, whole)
    write_clips(short, num_clips=max(_WORKERS), num_frames=2)
    builds = {
        f"{name} {workers}": lambda videos=videos, workers=workers: run(
            _command(values, videos, tempfile.mkdtemp(dir=directory), workers)
        )
        for workers in _WORKERS
        for name, videos in (("work", whole), ("start", short))
    }
    _print_workers(fastest(builds, values.rounds, warm_up=False))


def _print_workers(seconds: dict[str, Seconds]) -> None:
    """Prints the seconds of `work N` minus those of `start N`, and their ratios."""
    of = {}
    print(f"{'':18} elapsed  of cores  start")
    for workers in _WORKERS:
        work, start = seconds[f"work {workers}"], seconds[f"start {workers}"]
        of[workers] = own = Seconds(*(all_ - less for all_, less in zip(work, start)))
        row = f"{own.elapsed:8.2f}{own.of_cores:10.2f}{start.elapsed:7.2f}"
        print(f"{'workers: ' + str(workers):18}{row}  seconds")
    if min(min(own) for own in of.values()) <= 0:
        print("  too little work compared with the start: give more --repeats")
        return
    one, two = of[1], of[2]
    print_ratio("times faster with 2 workers", one.elapsed / two.elapsed, FASTER_WITH_TWO_WORKERS)
    print_ratio("... at most, by core seconds", 2 * one.of_cores / two.of_cores)


def _link(paths: list[str], directory: str) -> None:
    """Makes a folder of one class with links to videos."""
    os.makedirs(os.path.join(directory, "one"))
    for number, path in enumerate(paths):
        name = f"{number:05d}{os.path.splitext(path)[1]}"
        os.symlink(os.path.abspath(path), os.path.join(directory, "one", name))


def _command(values: flags.FlagValues, videos: str, output: str, workers: int) -> list[str]:
    command = [sys.executable, "-m", "tfrecords_tools.build", "--dataset=folder", "--test_share=0"]
    command += [f"--videos={videos}", f"--output={output}", f"--workers={workers}"]
    command += [f"--short_side={values.short_side}", f"--jpeg_quality={values.jpeg_quality}"]
    if values.stream == "temporal":
        command += ["--stream=temporal", "--flow=dis"]
    return command


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

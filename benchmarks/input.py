"""The input pipeline compared with bare loops over the same JPEGs, and with video readers.

    python -m benchmarks.input [--videos=DIR]

Eight snippets of each video, cropped and resized to 224x224, for both streams: by the pipeline from
shards, with 1 and 2 threads, with the shards in the file cache or dropped from it before a turn;
the host's part with `--augment_on=device`; by a loop that only decodes the same JPEGs from memory
and resizes them into one array, with OpenCV and simplejpeg; and, for the spatial stream, by PyAV
and decord from the video files. simplejpeg and decord are skipped if they are not installed. "PyAV,
sparing" seeks only where that saves decoding, which is nowhere in clips with one key frame.

Candidates take turns, and the best turn of each counts. Core time is the CPU time of the process,
so other load on the machine does not count; ratios use it, except those of 2 threads to 1 and of
the cold cache, which waits for the disk: they use `elapsed`, wall time.
Targets: 0.9 of the loops, 0.9 of decoding alone with `device`, 5 times the video readers, whose
speed depends on the codec and the length of the clips: see --videos.
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.timing import fastest, print_ratio
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError

OF_LOOPS = 0.9
OF_DECODING = 0.9
FASTER_THAN_VIDEOS = 5.0
_OPTIONS = {"spatial": (), "temporal": ("--stream=temporal", "--flow=dis")}
# Views for the video readers, which are slow.
_FEW = 6


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("videos", None, "Videos, a folder per class; made if unset.", **own)
    flags.DEFINE_integer("clips", 24, "Clips to make, without --videos.", 1, **own)
    flags.DEFINE_integer("frames", 100, "Frames of such a clip.", 12, **own)
    flags.DEFINE_integer("batch_size", 12, "Videos per batch; at most all.", 1, **own)
    flags.DEFINE_integer("batches", 4, "Batches per turn.", 1, **own)
    flags.DEFINE_integer("rounds", 3, "Timed turns of each.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Makes the shards, measures and prints."""
    print_heading("input")
    with tempfile.TemporaryDirectory() as directory:
        videos = values.videos
        if not videos:
            from benchmarks.clips import write_clips

            videos = os.path.join(directory, "videos")
            write_clips(videos, values.clips, values.frames)
        for stream, options in _OPTIONS.items():
            data = build_shards(videos, os.path.join(directory, stream), options)
            _measure(values, videos, data, stream)


def build_shards(videos: str, output: str, options: tuple[str, ...]) -> str:
    """Builds shards of a folder of videos, all to train on; returns their directory."""
    command = [sys.executable, "-m", "tfrecords_tools.build", "--dataset=folder", "--test_share=0"]
    command += [f"--videos={videos}", f"--output={output}", "--max_bad_videos=1000000", *options]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if result.returncode:
        raise DataError(f"no shards could be made of {videos}")
    return output


def _measure(values: flags.FlagValues, videos: str, data: str, stream: str) -> None:
    import numpy as np

    from benchmarks import readers
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.sample_draw import draw_sample
    from rlstm_tf.data.shards import Shards

    shards = Shards.open(data, "train")
    temporal = stream == "temporal"
    count, size = values.batches, min(values.batch_size, len(shards))
    host, device = (
        pipeline.InputConfig(
            size, stream=stream, new_length=10 if temporal else 1, augment_on=augment_on
        )
        for augment_on in ("host", "device")
    )
    # The samples of the pipeline's first steps.
    samples = [divmod(number, len(shards.samples)) for number in range(count * size)]
    views = [draw_sample(shards, host, *sample) for sample in samples]
    jpegs = [
        shards.read_frames(view.video, sorted(set(view.frames.ravel().tolist()))) for view in views
    ]
    out = np.empty((size, *host.video_shape), np.uint8)

    def piped(config: Any, threads: int, cold: bool = False) -> Callable[[], None]:
        dataset = pipeline.training_batches(shards, config, 0, count, num_threads=threads)

        def run() -> None:
            if cold:
                _drop_from_cache(data)
            for _ in pipeline.iterate(dataset, shards):
                pass

        return run

    opencv = readers.opencv(stream)
    candidates = {
        "pipeline": piped(host, 1),
        "pipeline, 2 threads": piped(host, 2),
        "pipeline, cold": piped(host, 1, cold=True),
        "device": piped(device, 1),
        "decoding alone": lambda: readers.decode_all(opencv, jpegs),
        "OpenCV": lambda: readers.bare_loop(opencv, jpegs, views, out),
        "OpenCV, 2 threads": lambda: readers.bare_loop(opencv, jpegs, views, out, 2),
    }
    try:
        simple = readers.simplejpeg(stream)
        candidates["simplejpeg"] = lambda: readers.bare_loop(simple, jpegs, views, out)
    except ImportError:
        print("simplejpeg is not installed: skipped")
    num_views = dict.fromkeys(candidates, len(views))
    if not temporal:
        few = views[:_FEW]
        candidates.update(_video_readers(videos, shards, few, host.image_size))
        num_views = {**dict.fromkeys(candidates, len(few)), **num_views}
    seconds = fastest(candidates, values.rounds)
    images = sum(map(len, jpegs))
    size_of_jpeg = sum(len(jpeg) for frames in jpegs for jpeg in frames) / images
    print(f"{stream}: {len(shards)} videos, {images / len(jpegs):.1f} JPEGs of each view,")
    print(f"  {size_of_jpeg / 1024:.0f} KB each; {len(views)} views a turn")
    print(f"{'':22}videos/s of a core   elapsed")
    of_cores = {name: count / seconds[name].of_cores for name, count in num_views.items()}
    elapsed = {name: count / seconds[name].elapsed for name, count in num_views.items()}
    for name in candidates:
        print(f"{name:22}{of_cores[name]:18.1f}{elapsed[name]:10.1f}")
    _print_ratios(of_cores, elapsed)


def _video_readers(
    videos: str, shards: Any, views: list[Any], image_size: int
) -> dict[str, Callable[[], None]]:
    """Returns candidates that read views from the video files."""
    from benchmarks import readers

    paths = [os.path.join(videos, shards.ids[view.video]) for view in views]
    reads: dict[str, Any] = {
        "PyAV": readers.pyav,
        "PyAV, sparing": partial(readers.pyav, always_seek=False),
    }
    try:
        reads["decord"] = readers.decord()
    except ImportError:
        print("decord is not installed: skipped")
    return {
        name: partial(readers.read_videos, read, paths, views, image_size)
        for name, read in reads.items()
    }


def _drop_from_cache(data: str) -> None:
    """Drops the shards from the file cache, on systems that can."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in glob.glob(os.path.join(glob.escape(data), "*.tfrecord")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _print_ratios(of_cores: dict[str, float], elapsed: dict[str, float]) -> None:
    """Prints ratios of videos per second, by core time and by wall time."""
    ours = of_cores["pipeline"]
    for name in ("OpenCV", "simplejpeg"):
        if name in of_cores:
            print_ratio(f"share of the {name} loop", ours / of_cores[name], OF_LOOPS)
    two = of_cores["pipeline, 2 threads"] / of_cores["OpenCV, 2 threads"]
    print_ratio("... of OpenCV's with 2 threads each", two, OF_LOOPS)
    print_ratio(
        "cold cache, share of the OpenCV loop", of_cores["pipeline, cold"] / of_cores["OpenCV"]
    )
    print_ratio("cold cache / warm, elapsed", elapsed["pipeline, cold"] / elapsed["pipeline"])
    print_ratio("2 threads / 1, elapsed", elapsed["pipeline, 2 threads"] / elapsed["pipeline"])
    share = of_cores["device"] / of_cores["decoding alone"]
    print_ratio("device, share of decoding alone", share, OF_DECODING)
    for name in ("PyAV", "PyAV, sparing", "decord"):
        if name in of_cores:
            print_ratio(f"times faster than {name}", ours / of_cores[name], FASTER_THAN_VIDEOS)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

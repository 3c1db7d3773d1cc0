"""The input pipeline beside a bare OpenCV loop and beside PyAV, on one core.

    python -m benchmarks.input [--videos=DIR]

Eight frames of each video, cropped and resized to 224x224: by the pipeline, from shards; by a loop
that does no more than decode the same JPEGs, already in memory, and resize them into one array; by
PyAV from the video files, with a seek for every frame; and by PyAV with seeks where that saves
decoding, which in clips of one key frame is nowhere. They take turns, and the best turn of each
counts. A core's time is what the process used of it, so that what else runs on the machine does not
enter; `elapsed` is by the clock. Targets: at least 0.9 of the OpenCV loop, at least 5 times PyAV
with seeks. How fast PyAV is depends on the codec and the length of the clips: see --videos.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

from absl import flags

from rlstm_tf import cli
from rlstm_tf.errors import DataError

OF_OPENCV = 0.9
FASTER_THAN_PYAV = 5.0


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("videos", None, "One folder a class; made of texture if unset.", **own)
    flags.DEFINE_integer("batch_size", 24, "Videos a batch; fewer if there are fewer.", 1, **own)
    flags.DEFINE_integer("batches", 10, "Batches a turn.", 1, **own)
    flags.DEFINE_integer("rounds", 5, "Turns of each.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Makes the shards, measures, prints."""
    from benchmarks.machine import print_heading

    print_heading("input")
    with tempfile.TemporaryDirectory() as directory:
        videos = values.videos or _made_videos(os.path.join(directory, "videos"))
        data = _build(videos, os.path.join(directory, "shards"))
        # After the build, which may use all cores, and before TensorFlow starts its threads.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        _measure(values, videos, data)


def _made_videos(directory: str) -> str:
    from benchmarks.clips import write_clips

    write_clips(directory, num_clips=30, num_frames=100)
    return directory


def _build(videos: str, output: str) -> str:
    command = [sys.executable, "-m", "tfrecords_tools.build", "--dataset=folder", "--test_share=0"]
    command += [f"--videos={videos}", f"--output={output}", "--max_bad_videos=1000000"]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if result.returncode:
        raise DataError(f"no shards could be made of {videos}")
    return output


def _measure(values: flags.FlagValues, videos: str, data: str) -> None:
    import numpy as np

    from benchmarks.timing import fastest, print_ratio
    from rlstm_tf.data import batches, pipeline
    from rlstm_tf.data.shards import Shards

    shards = Shards.open(data, "train")
    config = pipeline.InputConfig(min(values.batch_size, len(shards)))
    # Those of the pipeline's first steps.
    views = [
        batches.training_view(shards, config, *divmod(place, len(shards.samples)))
        for place in range(values.batches * config.batch_size)
    ]
    dataset = pipeline.training_batches(shards, config, 0, values.batches, num_threads=1)
    jpegs = [
        shards.read_frames(view.video, sorted(set(view.frames.ravel().tolist()))) for view in views
    ]
    batch = np.empty((config.batch_size, *config.video_shape), np.uint8)
    # PyAV is slow: one batch is enough.
    few = views[: config.batch_size]
    paths = [os.path.join(videos, shards.ids[view.video]) for view in few]
    candidates = {
        "pipeline": (len(views), lambda: _exhaust(pipeline.checked(dataset, shards))),
        "OpenCV loop": (len(views), lambda: _opencv(jpegs, views, batch)),
        "PyAV, seeking": (len(few), lambda: _pyav(paths, few, config.image_size, True)),
        "PyAV, sparing": (len(few), lambda: _pyav(paths, few, config.image_size, False)),
    }
    seconds = fastest({name: run for name, (_, run) in candidates.items()}, values.rounds)
    rates = {name: count / seconds[name].of_cores for name, (count, _) in candidates.items()}
    size = sum(len(jpeg) for frames in jpegs for jpeg in frames) / sum(map(len, jpegs))
    print(f"{len(shards)} videos, {sum(shards.num_frames)} frames; a JPEG has {size / 1024:.0f} KB")
    print(f"{'':16} videos/s of a core   elapsed")
    for name, (count, _) in candidates.items():
        print(f"{name:16}{rates[name]:20.1f}{count / seconds[name].elapsed:10.1f}")
    ours = rates["pipeline"]
    print_ratio("share of the OpenCV loop", ours / rates["OpenCV loop"], OF_OPENCV)
    print_ratio("times faster than PyAV", ours / rates["PyAV, seeking"], FASTER_THAN_PYAV)
    print_ratio("... that spares seeks", ours / rates["PyAV, sparing"])


def _exhaust(batches: Any) -> None:
    for _ in batches:
        pass


def _opencv(jpegs: list[list[bytes]], views: list[Any], batch: Any) -> None:
    import cv2
    import numpy as np

    size = batch.shape[2:4]
    for row, (frames, view) in enumerate(zip(jpegs, views)):
        x, y, width, height = view.box
        for segment, jpeg in enumerate(frames):
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
            part = image[y : y + height, x : x + width]
            cv2.resize(part, size, dst=batch[row % len(batch), segment])


def _pyav(paths: list[str], views: list[Any], image_size: int, always_seek: bool) -> None:
    import cv2

    for path, view in zip(paths, views):
        # Boxes are of the shards' frames, which may be larger or smaller than the file's: the time
        # is the same for the box that fits.
        for image in _frames(path, sorted(set(view.frames.ravel().tolist())), always_seek):
            width = min(view.box.width, image.shape[1])
            height = min(view.box.height, image.shape[0])
            cv2.resize(image[:height, :width], (image_size, image_size))


def _frames(path: str, numbers: list[int], always_seek: bool) -> Any:
    """Yields frames of a file, RGB."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        keys = [place for place, entry in enumerate(stream.index_entries) if entry.is_keyframe]
        ticks = 1 / (stream.average_rate * stream.time_base)
        start = stream.start_time or 0
        decoded, frames = -1, container.decode(stream)
        for number in numbers:
            # A seek lands on the last key frame before: useless if that is passed already.
            if always_seek or any(decoded < key <= number for key in keys[1:]):
                container.seek(int(start + number * ticks), stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                decoded = round((frame.pts - start) / ticks) if frame.pts is not None else number
                if decoded >= number:
                    yield frame.to_ndarray(format="rgb24")
                    break


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))
